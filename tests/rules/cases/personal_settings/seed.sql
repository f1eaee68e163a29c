INSERT INTO mdl_data (id, course) VALUES (1, @espace);
INSERT INTO mdl_block_instances (id, blockname, parentcontextid) VALUES (7, 'html', @contexte_espace);
INSERT INTO mdl_user_preferences (id, userid, name) VALUES
  (1, @etudiante, 'block7hidden'), (2, @enseignante, 'block7hidden'),
  (3, @etudiante, 'docked_block_instance_7'), (4, @enseignante, 'docked_block_instance_7'),
  (5, @etudiante, 'block_myoverview_hidden_course_2'), (6, @enseignante, 'block_myoverview_hidden_course_2'),
  (7, @etudiante, 'coursesectionspreferences_2'), (8, @enseignante, 'coursesectionspreferences_2'),
  (9, @etudiante, 'coursesectionspreferences_22'),
  (10, @etudiante, 'grade_report_grader_collapsed_categories2'),
  (11, @etudiante, 'data_perpage_1'), (12, @enseignante, 'data_perpage_1');
INSERT INTO mdl_favourite (id, component, itemtype, itemid, contextid, userid) VALUES
  (1, 'core_course', 'courses', 2, @contexte_espace, @etudiante),
  (2, 'core_course', 'courses', 2, @contexte_espace, @enseignante);
INSERT INTO mdl_event (id, eventtype, courseid, userid) VALUES
  (1, 'user', @espace, @etudiante), (2, 'user', @espace, @enseignante), (3, 'course', @espace, @etudiante),
  (9, 'user', @ailleurs, @etudiante);
INSERT INTO mdl_tag_instance (id, component, itemtype, itemid, contextid, tiuserid) VALUES
  (1, 'core', 'course', 2, @contexte_espace, @etudiante), (2, 'core', 'course', 2, @contexte_espace, @enseignante),
  (3, 'core', 'course', 2, @contexte_espace, 0);
INSERT INTO mdl_tiny_autosave (id, elementid, contextid, userid)
VALUES (1, 'a', @contexte_espace, @etudiante), (2, 'b', @contexte_espace, @enseignante);
INSERT INTO mdl_editor_atto_autosave (id, elementid, contextid, userid)
VALUES (1, 'a', @contexte_espace, @etudiante), (2, 'b', @contexte_espace, @enseignante);
