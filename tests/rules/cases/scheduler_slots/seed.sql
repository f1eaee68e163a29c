INSERT INTO mdl_scheduler (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_scheduler_slots (id, schedulerid, teacherid) VALUES (1, 1, @enseignante), (9, 9, @enseignante);
INSERT INTO mdl_scheduler_appointment (id, slotid, studentid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_event (id, modulename, instance, eventtype, courseid, userid) VALUES
  (1, 'scheduler', 1, 'SSstu:1', 0, @etudiante), (2, 'scheduler', 1, 'SSsup:1', 0, @enseignante),
  (3, 'scheduler', 1, 'expectcompletionon', @espace, 0), (9, 'scheduler', 9, 'SSstu:9', 0, @etudiante),
  (10, 'quiz', 1, 'SSstu:1', 0, @etudiante);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte, 'mod_scheduler', 'studentfiles', 1), (2, 'b', @contexte, 'mod_scheduler', 'slotnote', 1);
