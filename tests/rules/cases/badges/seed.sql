INSERT INTO mdl_badge (id, courseid, type) VALUES (1, @espace, 2);
INSERT INTO mdl_badge_issued (id, badgeid, userid) VALUES (1, 1, @etudiante);
INSERT INTO mdl_badge_criteria_met (id, issuedid, critid, userid) VALUES (1, 1, 1, @etudiante);
INSERT INTO mdl_competency_usercomp (id, userid, competencyid) VALUES (1, @etudiante, 1);
INSERT INTO mdl_competency_usercompcourse (id, userid, courseid, competencyid)
VALUES (1, @etudiante, @espace, 1), (9, @etudiante, @ailleurs, 1);
