INSERT INTO mdl_questionnaire (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_questionnaire_response (id, questionnaireid, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
-- the number of a draft (77), or of the answer: the module's versions differ
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid, userid) VALUES
  (1, 'a', @contexte, 'mod_questionnaire', 'file', 77, @etudiante),
  (2, 'b', @contexte, 'mod_questionnaire', 'file', 1, @enseignante),
  (3, 'c', @contexte, 'mod_questionnaire', 'question', 1, @enseignante),
  (4, 'd', @contexte, 'mod_questionnaire', 'intro', 0, @enseignante),
  (9, 'e', @contexte_autre, 'mod_questionnaire', 'file', 9, @etudiante);
