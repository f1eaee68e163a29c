INSERT INTO mdl_glossary (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_glossary_entries (id, glossaryid, userid, concept) VALUES (1, 1, @etudiante, 'pile'), (2, 1, @enseignante, 'file');
INSERT INTO mdl_rating (id, contextid, component, ratingarea, itemid, userid) VALUES
  (1, @contexte, 'mod_glossary', 'entry', 1, @etudiante), (2, @contexte, 'mod_glossary', 'entry', 1, @enseignante),
  (9, @contexte_autre, 'mod_glossary', 'entry', 9, @etudiante);
INSERT INTO mdl_comments (id, contextid, component, commentarea, itemid, userid, content) VALUES
  (1, @contexte, 'mod_glossary', 'glossary_entry', 1, @etudiante, ''),
  (2, @contexte, 'mod_glossary', 'glossary_entry', 1, @enseignante, ''),
  (9, @contexte_autre, 'mod_glossary', 'glossary_entry', 9, @etudiante, '');
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid, userid)
VALUES (1, 'a', @contexte, 'mod_glossary', 'attachment', 1, @etudiante);
