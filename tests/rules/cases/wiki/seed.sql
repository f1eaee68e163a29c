INSERT INTO mdl_wiki (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_wiki_subwikis (id, wikiid, userid) VALUES (1, 1, @partie), (9, 9, @etudiante);
INSERT INTO mdl_wiki_pages (id, subwikiid, title, userid) VALUES (1, 1, 'Accueil', @partie), (9, 9, 'Accueil', @etudiante);
INSERT INTO mdl_wiki_versions (id, pageid, content, userid) VALUES (1, 1, '', @partie), (9, 9, '', @etudiante);
INSERT INTO mdl_wiki_locks (id, pageid, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_comments (id, contextid, component, commentarea, itemid, userid, content) VALUES
  (1, @contexte, 'mod_wiki', 'wiki_page', 1, @etudiante, ''), (2, @contexte, 'mod_wiki', 'wiki_page', 1, @enseignante, '');
