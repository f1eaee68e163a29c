INSERT INTO mdl_assign (id, course) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_assign_overrides (id, assignid, groupid, userid)
VALUES (1, 1, NULL, @etudiante), (2, 1, 5, NULL), (9, 9, NULL, @etudiante);
-- the date of one person's override has no course; the activity's own date names it
INSERT INTO mdl_event (id, modulename, instance, eventtype, courseid, userid) VALUES
  (1, 'assign', 1, 'due', 0, @etudiante), (2, 'assign', 1, 'due', @espace, 0), (9, 'assign', 9, 'due', 0, @etudiante);
