INSERT INTO mdl_defi (id, course, usermodified) VALUES (1, @espace, @enseignante), (9, @ailleurs, @enseignante);
INSERT INTO mdl_defi_reponses (id, defiid, auteur_user_id, exemple) VALUES (1, 1, @etudiante, 0), (2, 1, @enseignante, 1), (9, 9, @etudiante, 0);
INSERT INTO mdl_defi_votes (id, reponseid, userid) VALUES (1, 1, @redoublante), (2, 2, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte, 'mod_defi', 'reponse', 1), (2, 'b', @contexte, 'mod_defi', 'reponse', 2), (3, 'c', @contexte, 'mod_defi', 'intro', 0);
