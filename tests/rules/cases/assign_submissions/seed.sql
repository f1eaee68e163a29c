INSERT INTO mdl_assign (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_assign_submission (id, assignment, userid) VALUES (1, 1, @etudiante), (2, 1, @partie), (9, 9, @etudiante);
INSERT INTO mdl_assign_grades (id, assignment, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_assignfeedback_editpdf_annot (id, gradeid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_comments (id, contextid, component, commentarea, itemid, userid, content) VALUES
  (1, @contexte, 'assignsubmission_comments', 'submission_comments', 1, @enseignante, ''),
  (2, @contexte, 'block_comments', 'page_comments', 0, @enseignante, '');
INSERT INTO mdl_task_adhoc (id, classname, customdata) VALUES
  (1, '\\assignfeedback_editpdf\\task\\convert_submission', '{"submissionid":"1"}'),
  (2, '\\assignfeedback_editpdf\\task\\convert_submission', '{"submissionid":2}'),
  (3, '\\mod_x\\task\\other', '{"submissionid":"1"}'),
  (4, '\\assignfeedback_editpdf\\task\\convert_submission', ''),
  (9, '\\assignfeedback_editpdf\\task\\convert_submission', '{"submissionid":"9"}');
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid, userid) VALUES
  (1, 'a', @contexte, 'assignsubmission_file', 'submission_files', 1, @etudiante),
  (2, 'b', @contexte, 'assignfeedback_editpdf', 'stamps', 1, @enseignante),
  (3, 'c', @contexte, 'mod_assign', 'introattachment', 0, @enseignante),
  (4, 'd', 1, 'core', 'documentconversion', 0, NULL), (5, 'e', 1, 'core', 'documentconversion', 0, NULL),
  (6, 'f', @contexte, 'assignfeedback_editpdf', 'importhtml', 1, @etudiante);
-- PDF made of a file that goes, of one that stays, of a text that goes
INSERT INTO mdl_file_conversion (id, sourcefileid, destfileid) VALUES (1, 1, 4), (2, 3, 5), (3, 6, 4);
