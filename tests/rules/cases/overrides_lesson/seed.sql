INSERT INTO mdl_lesson (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_lesson_overrides (id, lessonid, groupid, userid)
VALUES (1, 1, NULL, @etudiante), (2, 1, 5, NULL), (9, 9, NULL, @etudiante);
-- the date of one person's override has no course; the activity's own date names it
INSERT INTO mdl_event (id, modulename, instance, eventtype, courseid, userid) VALUES
  (1, 'lesson', 1, 'open', 0, @etudiante), (2, 'lesson', 1, 'open', @espace, 0), (9, 'lesson', 9, 'open', 0, @etudiante);
