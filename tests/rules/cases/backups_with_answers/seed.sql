INSERT INTO mdl_tool_recyclebin_course (id, courseid, name) VALUES (1, @espace, 'Devoir 1'), (9, @ailleurs, 'Devoir 1');
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte_espace, 'tool_recyclebin', 'recyclebin_course', 1), (2, 'b', @contexte_espace, 'backup', 'automated', 0),
  (3, 'c', @contexte_enseignante, 'user', 'backup', 0), (9, 'd', @contexte_ailleurs, 'backup', 'course', 0);
