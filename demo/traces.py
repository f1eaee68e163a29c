"""What people leave in a space as a whole: views, completion, gradebook, log, notes, badges, drafts, statistics."""

from __future__ import annotations

from demo import moments
from demo.space import Space

LOG_VIEWS = 3


def views_and_completion(space: Space) -> None:
    """Views and completion of every activity, last accesses, and lines of the log."""
    last = space.activities[: 8 if space.plan.full else 4]
    for user in space.learners:
        for place, activity in enumerate(space.activities):
            space.add("course_modules_viewed", coursemoduleid=activity.cmid, userid=user, timecreated=space.when())
            space.add("course_modules_completion", coursemoduleid=activity.cmid, userid=user, completionstate=place % 2,
                      timemodified=space.when())  # fmt: skip
            space.log(
                f"mod_{activity.module} course_module viewed {activity.module}", user, "r", activity,
                objectid=activity.id,
            )  # fmt: skip
        for activity in last[:2]:
            space.add("block_recentlyaccesseditems", courseid=space.id, cmid=activity.cmid, userid=user,
                      timeaccess=space.when())  # fmt: skip
    for user in [*space.teachers, *space.students]:
        space.add("user_lastaccess", userid=user, courseid=space.id, timeaccess=space.when())
        for _ in range(LOG_VIEWS):
            space.log("core course viewed -", user, "r")
    for activity in last:
        space.add("block_recent_activity", courseid=space.id, cmid=activity.cmid, timecreated=space.when(),
                  userid=space.teacher, action=0)  # fmt: skip


def gradebook(space: Space) -> None:
    """A manual grade with feedback and a file, the course total, letters, an outcome, an unfinished import."""
    oral = space.grade_item(itemtype="manual", itemname="Oral (noté à la main)", grademax=20)
    for place, user in enumerate(space.learners):
        mark = 9.0 + place % 11
        grade = space.grade_row(oral, user, mark, 20, "manual", feedback="<p>Bonne prestation.</p>", feedbackformat=1)
        if space.plan.full:
            space.file(space.context, "grade/feedback", grade, "commentaire.pdf")
            space.file(space.context, "grade/historyfeedback", grade, "commentaire.pdf")
        space.grade_row(space.course_item, user, mark * 5, 100, "aggregation")
    if not space.plan.full:
        return
    space.add("grade_letters", contextid=space.context, lowerboundary=50, letter="Admis")
    scale = space.add(
        "scale", courseid=space.id, userid=space.teacher, name="Acquis", scale="Non,En cours,Oui", description="",
        timemodified=moments.OPENING,
    )  # fmt: skip
    outcome = space.add(
        "grade_outcomes", courseid=space.id, shortname="CEE", fullname="S'exprimer à l'écrit", scaleid=scale,
        timecreated=moments.OPENING,
    )  # fmt: skip
    space.add("grade_outcomes_courses", courseid=space.id, outcomeid=outcome)
    space.add(
        "grade_import_values", itemid=oral, userid=space.learners[0], finalgrade=12, importcode=1,
        importer=space.teacher,
    )  # fmt: skip


def course_completion(space: Space) -> None:
    """Completion of the whole course: criteria stay, what each person reached goes."""
    space.add("course_completion_aggr_methd", course=space.id, method=1)
    criterion = space.add(
        "course_completion_criteria", course=space.id, criteriatype=4, module=space.activities[0].module,
        moduleinstance=space.activities[0].cmid,
    )  # fmt: skip
    for user in space.learners:
        done = space.when()
        space.add(
            "course_completions", userid=user, course=space.id, timestarted=done, timecompleted=done, reaggregate=0
        )
        space.add(
            "course_completion_crit_compl", userid=user, course=space.id, criteriaid=criterion, timecompleted=done
        )


def notes_and_drafts(space: Space) -> None:
    """Notes, a blog entry, comments in a block, favourites, drafts, preferences naming the space, personal events."""
    block = space.add(
        "block_instances", blockname="comments", parentcontextid=space.context, pagetypepattern="course-view-*",
        defaultregion="side-pre", timecreated=moments.OPENING, timemodified=moments.OPENING,
    )  # fmt: skip
    space.site.context(space.context, 80, block)
    first = space.activities[0]
    for user in space.some(3):
        when = space.when()
        space.add("post", module="notes", userid=user, courseid=space.id, content="À suivre de près", format=2,
                  publishstate="site", lastmodified=when, created=when, usermodified=space.teacher)  # fmt: skip
        entry = space.add(
            "post", module="blog", userid=user, courseid=0, subject="Mon semestre", summary="<p>Texte</p>", format=1,
            publishstate="site", lastmodified=when, created=when,
        )  # fmt: skip
        space.add("blog_association", contextid=space.context, blogid=entry)
        space.add(
            "comments", contextid=space.context, component="block_comments", commentarea="page_comments", itemid=0,
            content="Merci pour ce cours !", userid=user, timecreated=when,
        )  # fmt: skip
        space.add("favourite", component="core_course", itemtype="courses", itemid=space.id,
                  contextid=space.site.context_of(user), userid=user, timecreated=when, timemodified=when)  # fmt: skip
        for table in ("editor_atto_autosave", "tiny_autosave"):
            space.add(
                table, elementid="id_message", contextid=first.context, pagehash=f"{space.id:040d}", userid=user,
                drafttext="<p>Brouillon</p>", draftid=user, pageinstance=f"yui_{user}", timemodified=when,
            )  # fmt: skip
        space.add("user_preferences", userid=user, name=f"block_myoverview_hidden_course_{space.id}", value="1")
        space.add(
            "event", name="Réviser", courseid=0, userid=user, eventtype="user", timestart=when, description="",
            uuid="",
        )  # fmt: skip
    space.add(
        "user_preferences", userid=space.teacher, name=f"grade_report_grader_collapsed_categories{space.id}",
        value="{}",
    )  # fmt: skip
    space.add(
        "event", name="Réunion de rentrée", courseid=space.id, userid=space.teacher, eventtype="course",
        description="", timestart=moments.FIRST_DAY, uuid="",
    )  # fmt: skip


def badges(space: Space) -> None:
    """A badge of the space: what was earned stays."""
    badge = space.add(
        "badge", name="Badge Assiduité", timecreated=moments.OPENING, timemodified=moments.OPENING,
        usercreated=space.teacher, usermodified=space.teacher, issuername="Université",
        issuerurl="https://universite.invalid", issuercontact="", type=2, courseid=space.id, message="Bravo",
        messagesubject="Badge", status=3, language="fr", imageauthorname="", imageauthoremail="", imageauthorurl="",
        imagecaption="",
    )  # fmt: skip
    criterion = space.add("badge_criteria", badgeid=badge, criteriatype=2, method=1)
    space.add("badge_criteria_param", critid=criterion, name="role_3", value="3")
    for user in space.some(4):
        when = space.when()
        space.add(
            "badge_manual_award", badgeid=badge, recipientid=user, issuerid=space.teacher, issuerrole=3, datemet=when
        )
        issued = space.add(
            "badge_issued", badgeid=badge, userid=user, uniquehash=f"{badge:020d}{user:020d}", dateissued=when,
            visible=1,
        )  # fmt: skip
        space.add("badge_criteria_met", issuedid=issued, critid=criterion, userid=user, datemet=when)


def competencies(space: Space) -> None:
    """Competencies linked to the space (kept), and how far each person got in it (goes)."""
    framework = space.add(
        "competency_framework", shortname="RNCP", contextid=space.site.system, idnumber=f"rncp{space.id}", scaleid=1,
        scaleconfiguration="[]", taxonomies="", usermodified=2,
    )  # fmt: skip
    skill = space.add("competency", shortname="Bloc 1", idnumber=f"bloc{space.id}", competencyframeworkid=framework,
                      path="/0/", usermodified=2)  # fmt: skip
    space.add("competency_coursecomp", courseid=space.id, competencyid=skill, ruleoutcome=1, usermodified=2)
    space.add("competency_modulecomp", cmid=space.activities[0].cmid, competencyid=skill, ruleoutcome=1, usermodified=2)
    for user in space.some(4):
        space.add(
            "competency_usercompcourse", userid=user, courseid=space.id, competencyid=skill, proficiency=0, grade=1,
            usermodified=space.teacher,
        )  # fmt: skip
        level = space.add("competency_usercomp", userid=user, competencyid=skill, status=0, proficiency=0, grade=1,
                          usermodified=space.teacher)  # fmt: skip
        space.add(
            "competency_evidence", usercompetencyid=level, contextid=space.context, action=3,
            actionuserid=space.teacher, descidentifier="evidence_manualoverrideincourse",
            desccomponent="core_competency", grade=1, usermodified=space.teacher,
        )  # fmt: skip


def leftovers(space: Space) -> None:
    """Statistics, a course backup and a recycle bin that hold people's data."""
    for user in space.some(4):
        for table in ("stats_user_daily", "stats_user_weekly", "stats_user_monthly"):
            space.add(table, courseid=space.id, userid=user, roleid=0, timeend=moments.LAST_DAY, statsreads=12,
                      statswrites=3, stattype="activity")  # fmt: skip
    space.add(
        "stats_daily", courseid=space.id, timeend=moments.LAST_DAY, roleid=5, stattype="enrolments", stat1=25,
        stat2=10,
    )  # fmt: skip
    thrown = space.add("tool_recyclebin_course", courseid=space.id, section=space.sections[1], module=6,
                       name="Sondage supprimé", timecreated=space.when())  # fmt: skip
    space.file(space.context, "tool_recyclebin/recyclebin_course", thrown, "sondage.mbz")
    space.file(space.context, "backup/course", 0, "sauvegarde avec utilisateurs.mbz")
    space.file(
        space.site.context_of(space.learners[0]), "user/draft", 1000 + space.id, "brouillon.odt",
        space.learners[0],
    )  # fmt: skip


def what_moodle_computes(space: Space) -> None:
    """What Moodle makes of people's activity: predictions, search index, monitored events, answers of its AI."""
    post, user, when = space.activities[0], space.learners[0], moments.LAST_DAY
    prediction = space.add("analytics_predictions", modelid=1, contextid=space.context, sampleid=user, rangeindex=0,
                           prediction=1, predictionscore=0.8, calculations="{}", timecreated=when)  # fmt: skip
    space.add("analytics_prediction_actions", predictionid=prediction, userid=space.teacher, actionname="fixed",
              timecreated=when)  # fmt: skip
    space.add(
        "analytics_indicator_calc", starttime=moments.FIRST_DAY, endtime=when, contextid=space.context,
        sampleorigin="user_enrolments", sampleid=user, indicator="any_access", value=1, timecreated=when,
    )  # fmt: skip
    space.add(
        "search_simpledb_index", docid=f"mod_forum-post-{space.id}", itemid=space.id, title="Question",
        content="Texte", contextid=post.context, areaid="mod_forum-post", type=1, courseid=space.id, userid=user,
        modified=when,
    )  # fmt: skip
    space.add("tool_monitor_events", eventname="\\core\\event\\course_viewed", contextid=space.context, contextlevel=50,
              contextinstanceid=space.id, link="", courseid=space.id, timecreated=when)  # fmt: skip
    text = space.add("ai_action_generate_text", prompt="Résume ce cours", generatedcontent="Le cours porte sur…")
    space.add("ai_action_register", actionname="generate_text", actionid=text, success=1, userid=user,
              contextid=space.context, provider="aiprovider_demo", timecreated=when)  # fmt: skip
