INSERT INTO mdl_post (id, module, userid, courseid, usermodified) VALUES
  (1, 'notes', @etudiante, @espace, @enseignante), (2, 'blog', @etudiante, @espace, 6), (9, 'notes', 6, @ailleurs, 3);
INSERT INTO mdl_blog_association (id, contextid, blogid) VALUES (1, @contexte_espace, 2), (9, @contexte_ailleurs, 2);
INSERT INTO mdl_comments (id, contextid, component, commentarea, itemid, userid, content) VALUES
  (1, @contexte_espace, 'block_comments', 'page_comments', 0, @etudiante, ''),
  (2, @contexte_espace, 'block_comments', 'page_comments', 0, @enseignante, '');
