INSERT INTO mdl_checklist (id, course) VALUES (1, @espace), (9, @ailleurs);
-- userid 0: the teacher's item
INSERT INTO mdl_checklist_item (id, checklist, userid, displaytext)
VALUES (1, 1, 0, ''), (2, 1, @etudiante, ''), (9, 9, @etudiante, '');
INSERT INTO mdl_checklist_check (id, item, userid) VALUES (1, 1, @etudiante), (2, 2, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_checklist_comment (id, itemid, userid, commentby)
VALUES (1, 1, @etudiante, @enseignante), (2, 2, @etudiante, @enseignante), (9, 9, @etudiante, @enseignante);
INSERT INTO mdl_checklist_comment_student (id, itemid, usermodified) VALUES (1, 1, @etudiante), (2, 2, @etudiante), (9, 9, 6);
INSERT INTO mdl_checklist_comp_notification (id, checklistid, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
