INSERT INTO mdl_forum (id, course, type) VALUES (1, @espace, 'general'), (9, @ailleurs, 'general');
INSERT INTO mdl_forum_discussions (id, course, forum, userid, firstpost)
VALUES (1, @espace, 1, @enseignante, 1), (9, @ailleurs, 9, @enseignante, 9);
INSERT INTO mdl_forum_posts (id, discussion, parent, userid, deleted, privatereplyto, message) VALUES
  (1, 1, 0, @enseignante, 0, 0, ''), (2, 1, 1, @etudiante, 0, 0, ''), (3, 1, 1, @partie, 1, 0, ''),
  (4, 1, 2, @enseignante, 0, @etudiante, ''), (9, 9, 0, @enseignante, 0, 0, '');
INSERT INTO mdl_forum_queue (id, userid, discussionid, postid) VALUES (1, @etudiante, 1, 2), (9, @etudiante, 9, 9);
INSERT INTO mdl_forum_read (id, userid, forumid, discussionid, postid)
VALUES (1, @etudiante, 1, 1, 1), (9, @etudiante, 9, 9, 9);
INSERT INTO mdl_forum_grades (id, forum, itemnumber, userid) VALUES (1, 1, 1, @etudiante), (9, 9, 1, @etudiante);
INSERT INTO mdl_forum_subscriptions (id, userid, forum) VALUES (1, @enseignante, 1), (2, @etudiante, 1);
INSERT INTO mdl_forum_digests (id, userid, forum) VALUES (1, @enseignante, 1), (2, @etudiante, 1);
INSERT INTO mdl_forum_track_prefs (id, userid, forumid) VALUES (1, @enseignante, 1), (2, @etudiante, 1);
INSERT INTO mdl_forum_discussion_subs (id, forum, discussion, userid) VALUES (1, 1, 1, @enseignante), (2, 1, 1, @etudiante);
INSERT INTO mdl_tag_instance (id, component, itemtype, itemid, contextid) VALUES
  (1, 'mod_forum', 'forum_posts', 2, @contexte), (2, 'mod_wiki', 'wiki_pages', 2, @contexte);
INSERT INTO mdl_favourite (id, component, itemtype, itemid, contextid, userid) VALUES
  (1, 'mod_forum', 'discussions', 1, @contexte, @enseignante),
  (2, 'core_x', 'x', 1, @contexte_enseignante, @enseignante);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte, 'mod_forum', 'attachment', 2), (2, 'b', @contexte, 'mod_forum', 'intro', 0),
  (9, 'c', @contexte_autre, 'mod_forum', 'post', 9);
