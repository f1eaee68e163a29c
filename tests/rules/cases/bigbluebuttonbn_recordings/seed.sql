INSERT INTO mdl_bigbluebuttonbn (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_bigbluebuttonbn_recordings (id, courseid, bigbluebuttonbnid) VALUES (1, @espace, 1), (9, @ailleurs, 9);
INSERT INTO mdl_bigbluebuttonbn_logs (id, courseid, bigbluebuttonbnid, userid)
VALUES (1, @espace, 1, @etudiante), (2, @espace, 1, @enseignante), (9, @ailleurs, 9, @etudiante),
-- of activities that are deleted
  (3, @espace, 77, @etudiante), (10, @ailleurs, 77, @etudiante);
