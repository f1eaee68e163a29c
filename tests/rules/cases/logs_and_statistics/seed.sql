INSERT INTO mdl_logstore_standard_log (id, courseid, userid) VALUES (1, @espace, @etudiante), (2, @espace, @enseignante), (9, @ailleurs, 6);
INSERT INTO mdl_log (id, course, userid) VALUES (1, @espace, @etudiante), (9, @ailleurs, @etudiante);
INSERT INTO mdl_tool_monitor_events (id, courseid) VALUES (1, @espace), (9, @ailleurs);
INSERT INTO mdl_user_lastaccess (id, userid, courseid) VALUES (1, @etudiante, @espace), (9, @etudiante, @ailleurs);
INSERT INTO mdl_stats_user_weekly (id, courseid, userid) VALUES (1, @espace, @etudiante), (9, @ailleurs, @etudiante);
INSERT INTO mdl_stats_user_monthly (id, courseid, userid) VALUES (1, @espace, @etudiante), (9, @ailleurs, @etudiante);
INSERT INTO mdl_stats_weekly (id, courseid) VALUES (1, @espace);
