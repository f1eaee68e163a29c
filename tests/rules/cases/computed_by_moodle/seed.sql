INSERT INTO mdl_analytics_predictions (id, contextid) VALUES (1, @contexte_espace), (9, @contexte_ailleurs);
INSERT INTO mdl_analytics_prediction_actions (id, predictionid, userid) VALUES (1, 1, @enseignante), (9, 9, @enseignante);
INSERT INTO mdl_analytics_indicator_calc (id, contextid) VALUES (1, @contexte_espace), (9, @contexte_ailleurs);
INSERT INTO mdl_search_simpledb_index (id, docid, courseid, areaid) VALUES
  (1, 'a', @espace, 'mod_forum-post'), (2, 'b', @espace, 'mod_glossary-entry'), (9, 'c', @ailleurs, 'mod_forum-post');
INSERT INTO mdl_question_categories (id, contextid, stamp) VALUES (1, @contexte_espace, 'a'), (9, @contexte_ailleurs, 'b');
INSERT INTO mdl_question_bank_entries (id, questioncategoryid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_question_versions (id, questionbankentryid, questionid) VALUES (1, 1, 1), (9, 9, 9);
INSERT INTO mdl_question_response_analysis (id, questionid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_question_response_count (id, analysisid) VALUES (1, 1), (9, 9);
INSERT INTO mdl_xapi_states (id, component, itemid) VALUES
  (1, 'mod_h5pactivity', @contexte), (2, 'core_x', @contexte), (9, 'mod_h5pactivity', @contexte_autre);
