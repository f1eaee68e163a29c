INSERT INTO mdl_quiz (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_question_usages (id, contextid, component) VALUES
  (1, @contexte_enseignante, 'core_question_preview'), (2, @contexte, 'mod_quiz'), (3, @contexte, 'mod_quiz'),
  (9, @contexte_autre, 'mod_quiz');
INSERT INTO mdl_quiz_attempts (id, quiz, userid, attempt, uniqueid)
VALUES (1, 1, @etudiante, 1, 2), (2, 1, @partie, 1, 3), (9, 9, @etudiante, 1, 9);
INSERT INTO mdl_question_attempts (id, questionusageid, slot) VALUES (1, 1, 1), (2, 2, 1), (9, 9, 1);
INSERT INTO mdl_question_attempt_steps (id, questionattemptid, userid) VALUES (1, 1, @enseignante), (2, 2, @etudiante), (9, 9, 6);
INSERT INTO mdl_quiz_overview_regrades (id, questionusageid) VALUES (1, 2), (9, 9);
INSERT INTO mdl_quiz_grades (id, quiz, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte, 'question', 'response_attachments', 2), (2, 'b', @contexte, 'mod_quiz', 'feedback', 1);
