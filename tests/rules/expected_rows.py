"""What the policy says of each table of the real Moodle, in SQL: the rows that go, the rows that stay.

Courses 2 to 7 are in scope; 8 (Espaces complémentaires) and 9 (archived last year) are not. Written by other paths
than the rules' own wherever there are two: by the activity's column instead of the row above, by the module instead of
the path.
"""

TEACHERS = "(3, 4, 5, 32)"  # users who teach in one of the spaces
REPEATER = 8  # a student whom the tests enrol again
IN = "IN (2, 3, 4, 5, 6, 7)"


def of(activity: str) -> str:
    """Ids of the activities of that kind in the spaces reset."""
    return f"(SELECT id FROM mdl_{activity} WHERE course {IN})"


def contexts(activity: str = "") -> str:
    """Contexts of the activities of that kind (of everything: '') in the spaces reset, through the course modules."""
    modules = f"""SELECT x.id FROM mdl_course_modules cm JOIN mdl_modules m ON m.id = cm.module
        JOIN mdl_context x ON x.contextlevel = 70 AND x.instanceid = cm.id WHERE cm.course {IN}"""
    if activity:
        return f"({modules} AND m.name = '{activity}')"
    blocks = """SELECT x.id FROM mdl_context x JOIN mdl_block_instances b ON b.id = x.instanceid AND x.contextlevel = 80
        JOIN mdl_context s ON s.id = b.parentcontextid AND s.contextlevel = 50"""
    own = f"SELECT id FROM mdl_context WHERE contextlevel = 50 AND instanceid {IN}"
    return f"({modules} UNION {own} UNION {blocks} AND s.instanceid {IN})"


def below(table: str, column: str, ids: str) -> str:
    """Ids of the rows of a table whose column is among those ids."""
    return f"(SELECT id FROM mdl_{table} WHERE {column} IN {ids})"


def usages() -> str:
    """Question usages of attempts at quizzes and of results of offline quizzes."""
    quiz = f"SELECT uniqueid AS id FROM mdl_quiz_attempts WHERE quiz IN {of('quiz')}"
    return f"({quiz} UNION SELECT usageid FROM mdl_offlinequiz_results WHERE offlinequizid IN {of('offlinequiz')})"


def attempt_steps() -> str:
    return below("question_attempt_steps", "questionattemptid", below("question_attempts", "questionusageid", usages()))


def peer_submissions() -> str:
    return f"(SELECT id FROM mdl_workshop_submissions WHERE workshopid IN {of('workshop')} AND example = 0)"


def peer_assessments() -> str:
    """All assessments in the workshops but the reference ones of the examples."""
    every = below("workshop_submissions", "workshopid", of("workshop"))
    return f"""(SELECT a.id FROM mdl_workshop_assessments a JOIN mdl_workshop_submissions s ON s.id = a.submissionid
        WHERE s.id IN {every} AND NOT (s.example = 1 AND a.weight = 1))"""


def posts() -> str:
    """Every message but the first of the single-discussion forums."""
    return f"""(SELECT p.id FROM mdl_forum_posts p JOIN mdl_forum_discussions d ON d.id = p.discussion
        JOIN mdl_forum f ON f.id = d.forum WHERE f.course {IN} AND (f.type <> 'single' OR p.id <> d.firstpost))"""


def discussions() -> str:
    return f"""(SELECT d.id FROM mdl_forum_discussions d JOIN mdl_forum f ON f.id = d.forum
        WHERE f.course {IN} AND f.type <> 'single')"""


ITEMS = f"(SELECT id FROM mdl_grade_items WHERE courseid {IN})"
CM = f"(SELECT id FROM mdl_course_modules WHERE course {IN})"
GROUPS = f"(SELECT id FROM mdl_groups WHERE courseid {IN})"
TALKS = f"(SELECT id FROM mdl_message_conversations WHERE component = 'core_group' AND itemid IN {GROUPS})"
CHECKS = below("checklist_item", "checklist", of("checklist"))
SUBMISSIONS, GRADES = (below(table, "assignment", of("assign")) for table in ("assign_submission", "assign_grades"))
SCANS, SCANNED_LISTS, LISTS, QUEUES = (
    below(f"offlinequiz_{table}", "offlinequizid", of("offlinequiz"))
    for table in ("scanned_pages", "scanned_p_pages", "p_lists", "queue")
)
ANSWERED, UNFINISHED = (
    below(f"feedback_{table}", "feedback", of("feedback")) for table in ("completed", "completedtmp")
)
RESPONSES = below("questionnaire_response", "questionnaireid", of("questionnaire"))
HOTPOTS, H5P, SCORMS = (
    below(table, column, of(activity))
    for table, column, activity in (
        ("hotpot_attempts", "hotpotid", "hotpot"),
        ("h5pactivity_attempts", "h5pactivityid", "h5pactivity"),
        ("scorm_attempt", "scormid", "scorm"),
    )
)
RECORDS = below("data_records", "dataid", of("data"))
FILLED = f"""(SELECT i.id FROM mdl_grading_instances i JOIN mdl_grading_definitions d ON d.id = i.definitionid
    JOIN mdl_grading_areas a ON a.id = d.areaid WHERE a.contextid IN {contexts()})"""
USED_QUESTIONS = f"""(SELECT questionid FROM mdl_question_attempts WHERE questionusageid IN {usages()})"""
AREAS = {
    "assign": "component IN ('assignsubmission_file', 'assignsubmission_onlinetext')"
    " OR component LIKE 'assignfeedback%' AND filearea <> 'stamps'",
    "quiz": "component = 'question'",
    "offlinequiz": "filearea = 'imagefiles'",
    "lesson": "filearea LIKE 'essay%'",
    "data": "component = 'mod_data' AND filearea = 'content'",
    "scheduler": "filearea IN ('studentfiles', 'appointmentnote', 'teachernote')",
    "simplecertificate": "filearea = 'issues'",
}
BY_ROW = [  # condition on files, the rows that their itemid names
    ("component = 'mod_forum'", posts()),
    ("component = 'mod_workshop' AND filearea LIKE 'submission%'", peer_submissions()),
    ("component = 'mod_workshop' AND filearea LIKE 'overall%'", peer_assessments()),
]
FILES = " UNION ".join(
    [
        *(f"SELECT id FROM mdl_files WHERE contextid IN {contexts(act)} AND ({area})" for act, area in AREAS.items()),
        *(f"SELECT id FROM mdl_files WHERE {area} AND itemid IN {rows}" for area, rows in BY_ROW),
        f"""SELECT id FROM mdl_files WHERE contextid IN {contexts()}
            AND component IN ('grade', 'backup', 'tool_recyclebin')""",
    ]
)
NAMED_BY_POLICY = "('assignsubmission_comments', 'mod_glossary', 'mod_data')"
PREFERENCES = " OR ".join(
    f"name = '{prefix}{course}'"
    for course in range(2, 8)
    for prefix in (
        "block_myoverview_hidden_course_",
        "coursesectionspreferences_",
        "grade_report_grader_collapsed_categories",
    )
)

# table: a SELECT of the ids that must go; the order is moodle.md's own where it names the table
EXPECTED: dict[str, str] = {
    "logstore_standard_log": f"courseid {IN}",
    "grade_grades_history": f"itemid IN {ITEMS}",
    "offlinequiz_results": f"offlinequizid IN {of('offlinequiz')}",
    "offlinequiz_participants": f"listid IN {LISTS}",
    "offlinequiz_scanned_pages": f"offlinequizid IN {of('offlinequiz')}",
    "offlinequiz_choices": f"scannedpageid IN {SCANS}",
    "offlinequiz_page_corners": f"scannedpageid IN {SCANS}",
    "offlinequiz_hotspots": f"scannedpageid IN {SCANS}",
    "offlinequiz_scanned_p_pages": f"offlinequizid IN {of('offlinequiz')}",
    "offlinequiz_p_choices": f"scannedppageid IN {SCANNED_LISTS}",
    "offlinequiz_queue": f"offlinequizid IN {of('offlinequiz')}",
    "offlinequiz_queue_data": f"queueid IN {QUEUES}",
    "grade_grades": f"itemid IN {ITEMS}",
    "forum_grades": f"forum IN {of('forum')}",
    "hvp_xapi_results": f"content_id IN {of('hvp')}",
    "hvp_content_user_data": f"hvp_id IN {of('hvp')}",
    "hvp_events": f"content_id IN {of('hvp')}",
    "lti_submission": f"ltiid IN {of('lti')}",
    "wooclap_completion": f"wooclapid IN {of('wooclap')}",
    "groups_members": f"groupid IN {GROUPS}",
    "simplecertificate_issues": f"certificateid IN {of('simplecertificate')}",
    "grading_instances": f"id IN {FILLED}",
    "gradingform_rubric_fillings": f"instanceid IN {FILLED}",
    "gradingform_guide_fillings": f"instanceid IN {FILLED}",
    "comments": f"contextid IN {contexts()} AND (component IN {NAMED_BY_POLICY} OR userid NOT IN {TEACHERS})",
    "feedback_completedtmp": f"feedback IN {of('feedback')}",
    "feedback_valuetmp": f"completed IN {UNFINISHED}",
    "feedback_completed": f"feedback IN {of('feedback')}",
    "feedback_value": f"completed IN {ANSWERED}",
    "scorm_aicc_session": f"scormid IN {of('scorm')}",
    "scorm_attempt": f"scormid IN {of('scorm')}",
    "scorm_scoes_value": f"attemptid IN {SCORMS}",
    "checklist_comment_student": f"itemid IN {CHECKS}",
    "checklist_comment": f"itemid IN {CHECKS}",
    "checklist_check": f"item IN {CHECKS}",
    "checklist_comp_notification": f"checklistid IN {of('checklist')}",
    "checklist_item": f"checklist IN {of('checklist')} AND userid <> 0",
    "files": f"id IN ({FILES})",
    "quiz_overview_regrades": f"questionusageid IN {usages()}",
    "question_statistics": f"questionid IN {USED_QUESTIONS}",
    "question_response_analysis": f"questionid IN {USED_QUESTIONS}",
    "quiz_statistics": f"""hashcode IN
        (SELECT hashcode FROM mdl_question_statistics WHERE questionid IN {USED_QUESTIONS})""",
    "assign_user_mapping": f"assignment IN {of('assign')}",
    "user_enrolments": f"""enrolid IN (SELECT id FROM mdl_enrol WHERE courseid {IN})
        AND userid NOT IN {TEACHERS} AND userid <> {REPEATER}""",
    "role_assignments": f"""contextid IN {contexts()} AND userid NOT IN {TEACHERS} AND userid IN
        (SELECT userid FROM mdl_user_enrolments) AND userid <> {REPEATER}""",
    "user_lastaccess": f"courseid {IN}",
    "block_recentlyaccesseditems": f"courseid {IN}",
    "block_recent_activity": f"courseid {IN}",
    "stats_user_daily": f"courseid {IN}",
    "favourite": f"contextid IN {contexts()} AND userid NOT IN {TEACHERS}",
    "tiny_autosave": f"contextid IN {contexts()} AND userid NOT IN {TEACHERS}",
    "editor_atto_autosave": f"contextid IN {contexts()} AND userid NOT IN {TEACHERS}",
    "grade_import_values": f"itemid IN {ITEMS}",
    "tool_recyclebin_course": f"courseid {IN}",
    "user_preferences": f"""userid NOT IN {TEACHERS} AND ({PREFERENCES} OR
        name LIKE 'data_perpage_%' AND SUBSTRING(name, 14) IN {of('data')})""",
    "task_adhoc": f"""classname LIKE '%convert_submission' AND
        SUBSTRING_INDEX(SUBSTRING_INDEX(customdata, '"', 4), '"', -1) IN {SUBMISSIONS}""",
    "event": f"""courseid = 0 AND (modulename = 'assign' AND instance IN {of('assign')}
        OR modulename = 'scheduler' AND instance IN {of('scheduler')})""",
    "assign_submission": f"assignment IN {of('assign')}",
    "assignsubmission_onlinetext": f"assignment IN {of('assign')}",
    "assignsubmission_file": f"assignment IN {of('assign')}",
    "assign_grades": f"assignment IN {of('assign')}",
    "assignfeedback_comments": f"assignment IN {of('assign')}",
    "assignfeedback_file": f"assignment IN {of('assign')}",
    "assignfeedback_editpdf_annot": f"gradeid IN {GRADES}",
    "assignfeedback_editpdf_cmnt": f"gradeid IN {GRADES}",
    "assignfeedback_editpdf_rot": f"gradeid IN {GRADES}",
    "assign_user_flags": f"assignment IN {of('assign')}",
    "assign_overrides": f"assignid IN {of('assign')} AND groupid IS NULL",
    "quiz_attempts": f"quiz IN {of('quiz')}",
    "quiz_grades": f"quiz IN {of('quiz')}",
    "quiz_overrides": f"quiz IN {of('quiz')} AND groupid IS NULL",
    "question_usages": f"id IN {usages()}",
    "question_attempts": f"questionusageid IN {usages()}",
    "question_attempt_steps": f"id IN {attempt_steps()}",
    "question_attempt_step_data": f"attemptstepid IN {attempt_steps()}",
    "workshop_submissions": f"id IN {peer_submissions()}",
    "workshop_assessments": f"id IN {peer_assessments()}",
    "workshop_grades": f"assessmentid IN {peer_assessments()}",
    "workshop_aggregations": f"workshopid IN {of('workshop')}",
    "h5pactivity_attempts": f"h5pactivityid IN {of('h5pactivity')}",
    "h5pactivity_attempts_results": f"attemptid IN {H5P}",
    "xapi_states": f"itemid IN {contexts('h5pactivity')}",
    "hotpot_attempts": f"hotpotid IN {of('hotpot')}",
    "hotpot_details": f"attemptid IN {HOTPOTS}",
    "hotpot_responses": f"attemptid IN {HOTPOTS}",
    "lesson_attempts": f"lessonid IN {of('lesson')}",
    "lesson_branch": f"lessonid IN {of('lesson')}",
    "lesson_grades": f"lessonid IN {of('lesson')}",
    "lesson_timer": f"lessonid IN {of('lesson')}",
    "lesson_overrides": f"lessonid IN {of('lesson')} AND groupid IS NULL",
    "forum_posts": f"id IN {posts()}",
    "forum_discussions": f"id IN {discussions()}",
    "forum_queue": f"postid IN {posts()}",
    "forum_read": f"forumid IN {of('forum')}",
    "forum_subscriptions": f"forum IN {of('forum')} AND userid NOT IN {TEACHERS}",
    "forum_digests": f"forum IN {of('forum')} AND userid NOT IN {TEACHERS}",
    "forum_track_prefs": f"forumid IN {of('forum')} AND userid NOT IN {TEACHERS}",
    "forum_discussion_subs": f"discussion IN {discussions()} OR forum IN {of('forum')} AND userid NOT IN {TEACHERS}",
    "tag_instance": f"""itemtype = 'forum_posts' AND itemid IN {posts()}
        OR itemtype = 'data_records' AND itemid IN {RECORDS}""",
    "data_records": f"dataid IN {of('data')}",
    "data_content": f"recordid IN {RECORDS}",
    "wiki_locks": f"pageid IN {below('wiki_pages', 'subwikiid', below('wiki_subwikis', 'wikiid', of('wiki')))}",
    "survey_answers": f"survey IN {of('survey')}",
    "survey_analysis": f"survey IN {of('survey')}",
    "choice_answers": f"choiceid IN {of('choice')}",
    "questionnaire_response": f"questionnaireid IN {of('questionnaire')}",
    **{
        f"questionnaire_{table}": f"response_id IN {RESPONSES}"
        for table in (
            "resp_multiple", "resp_single", "response_bool", "response_date", "response_other", "response_rank",
            "response_text",
        )
    },
    "scheduler_appointment": f"slotid IN {below('scheduler_slots', 'schedulerid', of('scheduler'))}",
    "bigbluebuttonbn_logs": f"courseid {IN}",
    "chat_messages": f"chatid IN {of('chat')}",
    "chat_messages_current": f"chatid IN {of('chat')}",
    "chat_users": f"chatid IN {of('chat')}",
    "course_modules_completion": f"coursemoduleid IN {CM}",
    "course_modules_viewed": f"coursemoduleid IN {CM}",
    "course_completions": f"course {IN}",
    "course_completion_crit_compl": f"course {IN}",
    "messages": f"conversationid IN {TALKS}",
    "message_conversation_members": f"conversationid IN {TALKS}",
    "message_email_messages": f"conversationid IN {TALKS}",
    "post": f"module = 'notes' AND courseid {IN}",
    "blog_association": f"contextid IN {contexts()}",
    "rating": f"contextid IN {contexts()}",
    "competency_usercompcourse": f"courseid {IN}",
}  # fmt: skip

# what: table, the rows that must not be reached
KEPT = {
    "workshop examples": ("workshop_submissions", "example = 1"),
    "reference assessments of the examples": ("workshop_assessments", "weight = 1 AND submissionid IN "
        "(SELECT id FROM mdl_workshop_submissions WHERE example = 1)"),
    "first post of a single-discussion forum": ("forum_posts", "parent = 0 AND discussion IN (SELECT d.id FROM "
        "mdl_forum_discussions d JOIN mdl_forum f ON f.id = d.forum AND f.type = 'single')"),
    "discussion of a single-discussion forum": ("forum_discussions", "forum IN "
        "(SELECT id FROM mdl_forum WHERE type = 'single')"),
    "glossary entries": ("glossary_entries", "1"),
    "wiki pages": ("wiki_pages", "1"),
    "wiki versions": ("wiki_versions", "1"),
    "teachers' checklist items": ("checklist_item", "userid = 0"),
    "scheduler slots": ("scheduler_slots", "1"),
    "notes on scheduler slots": ("files", "component = 'mod_scheduler' AND filearea = 'slotnote'"),
    "usages of the offline quizzes' templates": ("question_usages", "id IN "
        "(SELECT templateusageid FROM mdl_offlinequiz_groups)"),
    "question previews of teachers": ("question_usages", "component = 'core_question_preview'"),
    "group overrides of assignments": ("assign_overrides", "groupid IS NOT NULL"),
    "group overrides of quizzes": ("quiz_overrides", "groupid IS NOT NULL"),
    "group overrides of lessons": ("lesson_overrides", "groupid IS NOT NULL"),
    "badges earned": ("badge_issued", "1"),
    "BBB recordings": ("bigbluebuttonbn_recordings", "1"),
    "groups": ("groups", "1"),
    "conversations of the groups": ("message_conversations", "1"),
    "private messages": ("messages", "conversationid IN (SELECT id FROM mdl_message_conversations WHERE type <> 2)"),
    "personal calendars": ("event", "eventtype = 'user'"),
    "events of activities, courses and groups": ("event", "courseid <> 0"),
    "tags of entries and pages": ("tag_instance", "component IN ('mod_glossary', 'mod_wiki', 'mod_book')"),
    "teachers' comments in wikis": ("comments", f"component = 'mod_wiki' AND userid IN {TEACHERS}"),
    "teachers' subscriptions": ("forum_subscriptions", f"userid IN {TEACHERS}"),
    "teachers' preferences": ("user_preferences", f"userid IN {TEACHERS}"),
    "teachers' enrolments": ("user_enrolments", f"userid IN {TEACHERS}"),
    "teachers' roles": ("role_assignments", f"userid IN {TEACHERS}"),
    "repeaters' enrolments": ("user_enrolments", f"userid = {REPEATER}"),
    "blogs": ("post", "module = 'blog'"),
    "offline quiz forms": ("files", "component = 'mod_offlinequiz' AND filearea = 'pdfs'"),
    "files added to an assignment's subject": ("files", "filearea = 'introattachment'"),
    "templates of databases": ("files", "component = 'mod_data' AND filearea <> 'content'"),
    "stamps of the site": ("files", "component = 'assignfeedback_editpdf' AND filearea = 'stamps'"),
    "files of people": ("files", "component = 'user'"),
    "grade items": ("grade_items", "1"),
}  # fmt: skip
