INSERT INTO mdl_grade_items (id, courseid) VALUES (1, @espace), (9, @ailleurs);
-- item 5 was deleted (action 3); item 6 is not known in this space
INSERT INTO mdl_grade_items_history (id, courseid, oldid, action) VALUES (1, @espace, 5, 3), (2, @espace, 6, 2);
INSERT INTO mdl_grade_grades_history (id, itemid, userid) VALUES (1, 1, @etudiante), (2, 5, @etudiante), (3, 6, @etudiante), (9, 9, 6);
INSERT INTO mdl_grade_import_values (id, itemid, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid)
VALUES (1, 'a', @contexte_espace, 'grade', 'feedback', 1), (9, 'b', @contexte_ailleurs, 'grade', 'feedback', 1);
