INSERT INTO mdl_workshop (id, course) VALUES (1, @espace), (9, @ailleurs);
-- 1: the teacher's example; 2: a student's work; 9: in the other space
INSERT INTO mdl_workshop_submissions (id, workshopid, example, authorid)
VALUES (1, 1, 1, @enseignante), (2, 1, 0, @etudiante), (9, 9, 0, @etudiante);
-- weight 1 on an example: the teacher's reference assessment; weight 0: a student practising
INSERT INTO mdl_workshop_assessments (id, submissionid, reviewerid, weight)
VALUES (1, 1, @enseignante, 1), (2, 1, @etudiante, 0), (3, 2, @redoublante, 1), (9, 9, @etudiante, 1);
INSERT INTO mdl_workshop_grades (id, assessmentid, strategy) VALUES (1, 1, 'a'), (2, 2, 'a'), (3, 3, 'a'), (9, 9, 'a');
INSERT INTO mdl_workshop_aggregations (id, workshopid, userid) VALUES (1, 1, @etudiante), (9, 9, @etudiante);
INSERT INTO mdl_files (id, pathnamehash, contextid, component, filearea, itemid) VALUES
  (1, 'a', @contexte, 'mod_workshop', 'submission_attachment', 1),
  (2, 'b', @contexte, 'mod_workshop', 'submission_attachment', 2),
  (3, 'c', @contexte, 'mod_workshop', 'overallfeedback_content', 1),
  (4, 'd', @contexte, 'mod_workshop', 'overallfeedback_attachment', 2),
  (5, 'e', @contexte, 'mod_workshop', 'overallfeedback_content', 3),
  (6, 'f', @contexte, 'mod_workshop', 'instructauthors', 0),
  (9, 'g', @contexte_autre, 'mod_workshop', 'submission_content', 9);
