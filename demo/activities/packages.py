"""Packages and tools: H5P in both forms, SCORM, lesson, external tool, Wooclap, certificate."""

from __future__ import annotations

from demo import moments
from demo.space import Space


def h5pactivity(space: Space) -> None:
    """An H5P activity with attempts, results and the state of an unfinished attempt."""
    h5p = space.activity(
        "h5pactivity", "H5P : vocabulaire interactif", grade=100, enabletracking=1, timecreated=moments.OPENING
    )
    space.file(h5p.context, "mod_h5pactivity/package", 0, "vocabulaire.h5p")
    marks = {user: 50.0 + place for place, user in enumerate(space.some(12))}
    for user in marks:
        when = space.when()
        attempt = space.add(
            "h5pactivity_attempts", h5pactivityid=h5p.id, userid=user, timecreated=when, timemodified=when, attempt=1,
            rawscore=2, maxscore=4, scaled=0.5, duration=12, completion=1, success=0,
        )  # fmt: skip
        for part in range(3):
            space.add("h5pactivity_attempts_results", attemptid=attempt, subcontent=f"part-{part}", timecreated=when,
                      interactiontype="choice", description="Choisissez", correctpattern='["1"]', response="1",
                      additionals="{}", rawscore=1, maxscore=1)  # fmt: skip
        space.add("xapi_states", component="mod_h5pactivity", userid=user, itemid=h5p.context, stateid="state",
                  statedata='{"answers":[1]}', timecreated=when, timemodified=when)  # fmt: skip
    space.grade(h5p, marks, 100)


def hvp(space: Space) -> None:
    """The contributed H5P: results, state and events of users, under names of its own (`user_id`, `content_id`)."""
    library = space.site.hvp_library()
    h5p = space.activity("hvp", "H5P (ancien module)", json_content="{}", embed_type="div", main_library_id=library,
                         filtered="{}", slug="ancien-h5p", timecreated=moments.OPENING)  # fmt: skip
    space.add("hvp_contents_libraries", hvp_id=h5p.id, library_id=library, dependency_type="preloaded")
    space.file(h5p.context, "mod_hvp/content", h5p.id, "content.json")
    marks = dict.fromkeys(space.some(12), 1.0)
    for user in marks:
        when = space.when()
        whole = space.add("hvp_xapi_results", content_id=h5p.id, user_id=user, interaction_type="compound",
                          description="", correct_responses_pattern="[]", response="", additionals="{}", raw_score=1,
                          max_score=1)  # fmt: skip
        space.add("hvp_xapi_results", content_id=h5p.id, user_id=user, parent_id=whole, interaction_type="choice",
                  description="1 + 1 ?", correct_responses_pattern='["1"]', response="2", additionals="{}", raw_score=1,
                  max_score=1)  # fmt: skip
        space.add("hvp_content_user_data", user_id=user, hvp_id=h5p.id, sub_content_id=0, data_id="state",
                  data='{"answers":[1]}', preloaded=1, delete_on_content_change=1)  # fmt: skip
        space.add("hvp_events", user_id=user, created_at=when, type="results", sub_type="set", content_id=h5p.id,
                  content_title=h5p.name, library_name="H5P.MultiChoice", library_version="1.16")  # fmt: skip
    space.grade(h5p, marks, 1)


def scorm(space: Space) -> None:
    """A SCORM package in the tables of Moodle 4.3 and later; element names are shared by the whole site (kept)."""
    package = space.activity("scorm", "SCORM : sécurité au laboratoire", scormtype="local", reference="securite.zip",
                             version="SCORM_1.2", maxgrade=100, revision=1)  # fmt: skip
    space.file(package.context, "mod_scorm/package", 0, "securite.zip")
    unit = space.add(
        "scorm_scoes", scorm=package.id, manifest="demo", organization="org", parent="org", identifier="item_1",
        launch="index.html", scormtype="sco", title="Module 1", sortorder=1,
    )  # fmt: skip
    space.add("scorm_scoes_data", scoid=unit, name="parameters", value="")
    space.rows.change("scorm", package.id, launch=unit)
    marks = {user: 30.0 + place for place, user in enumerate(space.some(12))}
    for user in marks:
        attempt = space.add("scorm_attempt", userid=user, scormid=package.id, attempt=1)
        for name, value in (("cmi.core.lesson_status", "completed"), ("cmi.core.score.raw", "40")):
            space.add("scorm_scoes_value", scoid=unit, attemptid=attempt, elementid=space.site.scorm_element(name),
                      value=value, timemodified=space.when())  # fmt: skip
    user = space.learners[0]
    space.add(
        "scorm_aicc_session", userid=user, scormid=package.id, hacpsession=f"{package.id:032d}", scoid=unit,
        scormmode="normal", scormstatus="browsed", attempt=1, lessonstatus="i", sessiontime="00:01:00",
    )  # fmt: skip
    space.grade(package, marks, 100)


def lesson(space: Space) -> None:
    """A lesson: attempts, branches, timers and grades of students; pages and answers stay; a group's override stays."""
    guided = space.activity("lesson", "Leçon guidée", grade=20, maxattempts=3, conditions="", retake=1,
                            available=moments.at(2025, 10, 1), deadline=moments.at(2026, 5, 1))  # fmt: skip
    first = space.add("lesson_pages", lessonid=guided.id, qtype=20, title="Introduction", contents="<p>Lisez.</p>",
                      contentsformat=1, timecreated=moments.OPENING)  # fmt: skip
    last = space.add(
        "lesson_pages", lessonid=guided.id, prevpageid=first, qtype=10, title="Essai", contents="<p>Rédigez.</p>",
        contentsformat=1, timecreated=moments.OPENING,
    )  # fmt: skip
    space.rows.change("lesson_pages", first, nextpageid=last)
    answer = space.add(
        "lesson_answers", lessonid=guided.id, pageid=last, jumpto=-1, score=1, timecreated=moments.OPENING
    )
    space.file(guided.context, "mod_lesson/page_contents", first, "carte.png")
    marks = {user: 10.0 + place % 8 for place, user in enumerate(space.some(12))}
    for user, mark in marks.items():
        when = space.when()
        essay = space.add(
            "lesson_attempts", lessonid=guided.id, pageid=last, userid=user, answerid=answer, retry=0, correct=0,
            useranswer='O:8:"stdClass":1:{s:6:"answer";s:2:"ok";}', timeseen=when,
        )  # fmt: skip
        space.file(guided.context, "mod_lesson/essay_answers", essay, "brouillon.png", user)
        space.file(guided.context, "mod_lesson/essay_responses", essay, "retour.pdf")
        space.add(
            "lesson_branch", lessonid=guided.id, userid=user, pageid=first, retry=0, timeseen=when, nextpageid=last
        )
        space.add("lesson_timer", lessonid=guided.id, userid=user, starttime=when, lessontime=when + 600, completed=1)
        space.add("lesson_grades", lessonid=guided.id, userid=user, grade=mark * 5, completed=when)
    space.add("lesson_overrides", lessonid=guided.id, groupid=space.groups[0], maxattempts=5)
    space.add("lesson_overrides", lessonid=guided.id, userid=space.learners[0], maxattempts=9)
    space.grade(guided, marks)


def lti(space: Space) -> None:
    """An external tool: the grades that it sent back."""
    tool = space.activity("lti", "Outil externe", toolurl="https://outil.invalid/launch", grade=100, typeid=0,
                          servicesalt="demo", timecreated=moments.OPENING)  # fmt: skip
    marks = dict.fromkeys(space.some(8), 80.0)
    for user, mark in marks.items():
        when = space.when()
        space.add("lti_submission", ltiid=tool.id, userid=user, datesubmitted=when, dateupdated=when, gradepercent=mark,
                  originalgrade=mark, launchid=user, state=1)  # fmt: skip
    item = space.grade(tool, marks, 100)
    space.add(
        "ltiservice_gradebookservices", gradeitemid=item, courseid=space.id, typeid=1,
        baseurl="https://outil.invalid", ltilinkid=tool.id,
    )  # fmt: skip


def wooclap(space: Space) -> None:
    """A Wooclap event: who opened it, and the grades that came back."""
    event = space.activity(
        "wooclap", "Wooclap en amphi", editurl="https://wooclap.invalid/x", quiz=0, authorid=space.teacher,
        timecreated=moments.OPENING, grade=100,
    )  # fmt: skip
    marks = dict.fromkeys(space.some(8), 45.0)
    for user, mark in marks.items():
        when = space.when()
        space.add(
            "wooclap_completion", wooclapid=event.id, userid=user, completionstatus=2, grade=mark, timecreated=when,
            timemodified=when,
        )  # fmt: skip
    space.grade(event, marks, 100)


def simplecertificate(space: Space) -> None:
    """A certificate: its issues and their PDF files go; its images stay."""
    paper = space.activity("simplecertificate", "Attestation de réussite", certificatetext="<p>Attestation</p>",
                           coursename=space.plan.title, timecreated=moments.OPENING, requiredtime=60)  # fmt: skip
    space.file(paper.context, "mod_simplecertificate/image", 1, "logo.png")
    for user in space.some(6):
        issue = space.add(
            "simplecertificate_issues", certificateid=paper.id, userid=user, certificatename=paper.name,
            code=f"demo-{paper.id}-{user}", timecreated=space.when(), coursename=space.plan.title,
        )  # fmt: skip
        path = space.file(paper.context, "mod_simplecertificate/issues", issue, "attestation.pdf", user)
        space.rows.change("simplecertificate_issues", issue, pathnamehash=path)


def bigbluebuttonbn(space: Space) -> None:
    """A virtual classroom: its log goes; its recordings stay (they go after one year, whatever the reset)."""
    room = space.activity(
        "bigbluebuttonbn", "Classe virtuelle", meetingid=f"demo-{space.id}", moderatorpass="mp", viewerpass="ap",
        record=1, participants="[]", timecreated=moments.OPENING,
    )  # fmt: skip
    space.file(room.context, "mod_bigbluebuttonbn/presentation", 0, "diaporama.pdf")
    space.add(
        "bigbluebuttonbn_recordings", courseid=space.id, bigbluebuttonbnid=room.id, recordingid=f"rec-{room.id}",
        status=2, usermodified=space.teacher, timecreated=moments.FIRST_DAY, timemodified=moments.FIRST_DAY,
    )  # fmt: skip
    for user in space.some(12):
        for kind in ("Join", "Summary"):
            space.add("bigbluebuttonbn_logs", courseid=space.id, bigbluebuttonbnid=room.id, userid=user, log=kind,
                      timecreated=space.when(), meetingid=f"demo-{space.id}", meta='{"origin":0}')  # fmt: skip
