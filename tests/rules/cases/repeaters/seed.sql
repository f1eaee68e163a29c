INSERT INTO mdl_enrol (id, enrol, courseid) VALUES (1, 'database', @espace), (9, 'database', @ailleurs);
INSERT INTO mdl_user_enrolments (id, enrolid, userid)
VALUES (1, 1, @etudiante), (2, 1, @redoublante), (3, 1, @enseignante), (9, 9, @etudiante);
INSERT INTO mdl_role_assignments (id, roleid, contextid, userid) VALUES
  (1, 5, @contexte_espace, @etudiante), (2, 5, @contexte_espace, @redoublante), (3, 3, @contexte_espace, @enseignante),
  (9, 5, @contexte_ailleurs, @etudiante);
INSERT INTO mdl_enrol_lti_tools (id, enrolid) VALUES (1, 1);
INSERT INTO mdl_enrol_lti_users (id, toolid, userid) VALUES (1, 1, @etudiante), (2, 1, @redoublante), (3, 1, @enseignante);
INSERT INTO mdl_enrol_lti_user_resource_link (id, ltiuserid, resourcelinkid) VALUES (1, 1, 1), (2, 2, 1);
INSERT INTO mdl_choice (id, course) VALUES (1, @espace);
INSERT INTO mdl_choice_answers (id, choiceid, userid) VALUES (1, 1, @etudiante), (2, 1, @redoublante);
INSERT INTO mdl_grade_items (id, courseid) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_grade_grades (id, itemid, userid) VALUES (1, 1, @etudiante), (2, 1, @redoublante), (9, 9, @redoublante);
INSERT INTO mdl_course_modules_completion (id, coursemoduleid, userid) VALUES (1, @cm, @redoublante);
INSERT INTO mdl_course_completions (id, course, userid) VALUES (1, @espace, @redoublante), (9, @ailleurs, @redoublante);
