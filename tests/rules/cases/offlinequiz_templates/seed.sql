INSERT INTO mdl_offlinequiz (id, course) VALUES (1, @espace), (9, @ailleurs);
-- usage 1: the template of a group, of the same component and context as usage 2, a student's result
INSERT INTO mdl_question_usages (id, contextid, component) VALUES
  (1, @contexte, 'mod_offlinequiz'), (2, @contexte, 'mod_offlinequiz'), (9, @contexte_autre, 'mod_offlinequiz');
INSERT INTO mdl_offlinequiz_groups (id, offlinequizid, templateusageid) VALUES (1, 1, 1);
INSERT INTO mdl_offlinequiz_results (id, offlinequizid, usageid, userid) VALUES (1, 1, 2, @etudiante), (9, 9, 9, @etudiante);
INSERT INTO mdl_question_attempts (id, questionusageid, slot) VALUES (1, 1, 1), (2, 2, 1), (9, 9, 1);
INSERT INTO mdl_question_attempt_steps (id, questionattemptid, userid) VALUES (1, 1, @enseignante), (2, 2, @etudiante), (9, 9, 6);
INSERT INTO mdl_question_attempt_step_data (id, attemptstepid, name) VALUES (1, 1, '_order'), (2, 2, '_order'), (9, 9, 'a');
INSERT INTO mdl_offlinequiz_scanned_pages (id, offlinequizid, resultid, userkey) VALUES (1, 1, 1, '22300001'), (9, 9, 9, '1');
INSERT INTO mdl_offlinequiz_choices (id, scannedpageid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_offlinequiz_p_lists (id, offlinequizid, name) VALUES (1, 1, 'Amphi'), (9, 9, 'Amphi');
INSERT INTO mdl_offlinequiz_participants (id, listid, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_offlinequiz_statistics (id, offlinequizid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_offlinequiz_q_statistics (id, offlinequizstatisticsid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_offlinequiz_q_response_stats (id, offlinequizstatisticsid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte, 'mod_offlinequiz', 'imagefiles', 1), (2, 'b', @contexte, 'mod_offlinequiz', 'participants', 1),
  (3, 'c', @contexte, 'mod_offlinequiz', 'pdfs', 1), (4, 'd', @contexte, 'question', 'response_answer', 2);
