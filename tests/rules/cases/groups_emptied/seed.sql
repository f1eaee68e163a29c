INSERT INTO mdl_groups (id, courseid, name) VALUES (1, @espace, 'TD 1'), (9, @ailleurs, 'TD 1');
INSERT INTO mdl_groups_members (id, groupid, userid) VALUES (1, 1, @etudiante), (2, 1, @enseignante), (9, 9, @etudiante);
INSERT INTO mdl_message_conversations (id, type, component, itemtype, itemid, contextid) VALUES
  (1, 2, 'core_group', 'groups', 1, @contexte_espace), (2, 1, NULL, NULL, NULL, NULL),
  (3, 2, 'mod_x', 'x', 1, @contexte_espace), (9, 2, 'core_group', 'groups', 9, @contexte_ailleurs);
INSERT INTO mdl_messages (id, useridfrom, conversationid, smallmessage)
VALUES (1, @enseignante, 1, ''), (2, @etudiante, 2, ''), (3, @enseignante, 3, ''), (9, @etudiante, 9, '');
INSERT INTO mdl_message_user_actions (id, userid, messageid, action) VALUES (1, @etudiante, 1, 1), (2, @etudiante, 2, 1);
INSERT INTO mdl_message_conversation_members (id, conversationid, userid)
VALUES (1, 1, @etudiante), (2, 1, @enseignante), (3, 2, @etudiante);
INSERT INTO mdl_message_conversation_actions (id, userid, conversationid, action) VALUES (1, 6, 1, 1), (2, 6, 2, 1);
INSERT INTO mdl_favourite (id, component, itemtype, itemid, contextid, userid) VALUES
  (1, 'core_message', 'message_conversations', 1, @contexte_enseignante, @enseignante),
  (2, 'core_message', 'message_conversations', 2, @contexte_enseignante, @enseignante);
