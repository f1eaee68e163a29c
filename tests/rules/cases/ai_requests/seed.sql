INSERT INTO mdl_ai_action_generate_text (id, prompt) VALUES (1, ''), (2, '');
INSERT INTO mdl_ai_action_summarise_text (id, prompt) VALUES (1, ''), (3, '');
INSERT INTO mdl_ai_action_generate_image (id, prompt) VALUES (1, ''), (4, '');
-- the number of a request is one of the table that its name tells
INSERT INTO mdl_ai_action_register (id, actionname, actionid, userid, contextid) VALUES
  (1, 'generate_text', 1, @etudiante, @contexte_espace), (2, 'generate_text', 2, @enseignante, @contexte_espace),
  (3, 'summarise_text', 3, @etudiante, @contexte_espace), (4, 'generate_image', 4, @etudiante, @contexte_espace),
  (9, 'summarise_text', 1, @etudiante, @contexte_ailleurs);
