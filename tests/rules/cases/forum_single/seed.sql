INSERT INTO mdl_forum (id, course, type) VALUES (1, @espace, 'single'), (9, @ailleurs, 'single');
INSERT INTO mdl_forum_discussions (id, course, forum, userid, firstpost)
VALUES (1, @espace, 1, @enseignante, 1), (9, @ailleurs, 9, @enseignante, 9);
INSERT INTO mdl_forum_posts (id, discussion, parent, userid, message) VALUES
  (1, 1, 0, @enseignante, ''), (2, 1, 1, @etudiante, ''), (3, 1, 2, @enseignante, ''),
  (9, 9, 0, @enseignante, ''), (10, 9, 9, @etudiante, '');
-- mail about to be sent goes, even about the first post; the first post's tag is the teacher's
INSERT INTO mdl_forum_queue (id, userid, discussionid, postid) VALUES (1, @etudiante, 1, 1), (9, @etudiante, 9, 9);
INSERT INTO mdl_tag_instance (id, component, itemtype, itemid, contextid) VALUES
  (1, 'mod_forum', 'forum_posts', 1, @contexte), (2, 'mod_forum', 'forum_posts', 2, @contexte);
-- who follows the discussion: the teacher's own setting stays, the student's goes
INSERT INTO mdl_forum_discussion_subs (id, forum, discussion, userid)
VALUES (1, 1, 1, @enseignante), (2, 1, 1, @etudiante), (9, 9, 9, @etudiante);
INSERT INTO mdl_favourite (id, component, itemtype, itemid, contextid, userid) VALUES
  (1, 'mod_forum', 'discussions', 1, @contexte, @enseignante),
  (2, 'mod_forum', 'discussions', 1, @contexte, @etudiante);
