"""Assignments and workshops: work that is handed in, graded and assessed."""

from __future__ import annotations

from dataclasses import dataclass

from demo import moments
from demo.space import Activity, Space


def assign(space: Space) -> None:
    """Three assignments: with files, comments, annotated PDF and overrides; with a rubric; anonymous."""
    for name, blind in (("Devoir : rapport d'analyse", 0), ("Devoir noté par grille", 0), ("Copie anonyme", 1)):
        work = space.activity(
            "assign", name, grade=20, duedate=moments.at(2025, 12, 15), cutoffdate=moments.at(2025, 12, 20),
            blindmarking=blind, submissiondrafts=1,
        )  # fmt: skip
        for subtype, plugin in (("assignsubmission", "onlinetext"), ("assignfeedback", "comments")):
            space.add(
                "assign_plugin_config", assignment=work.id, plugin=plugin, subtype=subtype, name="enabled", value="1"
            )
        space.file(work.context, "mod_assign/introattachment", 0, "Sujet du devoir.pdf")
        space.add(
            "event", name=f"{name} est à rendre", courseid=space.id, modulename="assign", instance=work.id, type=1,
            eventtype="due", timestart=moments.at(2025, 12, 15), description="", uuid="",
        )  # fmt: skip
        marks = {user: 8.0 + place % 12 for place, user in enumerate(space.learners)}
        grades = {user: _handed_in(space, work, user, mark) for user, mark in marks.items()}
        if name.startswith("Devoir noté"):
            _rubric(space, work, list(grades.values()))
        space.grade(work, marks)
    _assign_overrides(space, work)


def short_assign(space: Space) -> None:
    """One assignment with text submissions and grades: what an ordinary space has."""
    work = space.activity("assign", "Devoir n° 1", grade=20, duedate=moments.at(2026, 1, 9))
    marks = {user: 9.0 + place % 10 for place, user in enumerate(space.learners)}
    for user, mark in marks.items():
        _handed_in(space, work, user, mark)
    space.grade(work, marks)


def _handed_in(space: Space, work: Activity, user: int, mark: float) -> int:
    """Add a submission with all that goes with it; return the id of its assign_grades row."""
    when = space.when()
    submission = space.add("assign_submission", assignment=work.id, userid=user, timecreated=when, timemodified=when,
                           status="submitted", latest=1, attemptnumber=0)  # fmt: skip
    space.add("assignsubmission_onlinetext", assignment=work.id, submission=submission, onlinetext="<p>Ma réponse</p>",
              onlineformat=1)  # fmt: skip
    space.add("assignsubmission_file", assignment=work.id, submission=submission, numfiles=1)
    space.file(work.context, "assignsubmission_file/submission_files", submission, "copie.pdf", user)
    space.file(work.context, "assignsubmission_onlinetext/submissions_onlinetext", submission, "schéma.png", user)
    space.add(
        "comments", contextid=work.context, component="assignsubmission_comments", commentarea="submission_comments",
        itemid=submission, content="J'ai une question.", userid=user, timecreated=when,
    )  # fmt: skip
    space.add("assign_user_flags", assignment=work.id, userid=user, mailed=1, workflowstate="")
    space.add("assign_user_mapping", assignment=work.id, userid=user)
    grade = space.add("assign_grades", assignment=work.id, userid=user, timecreated=when, timemodified=when,
                      grader=space.teacher, grade=mark, attemptnumber=0)  # fmt: skip
    space.add("assignfeedback_comments", assignment=work.id, grade=grade, commenttext="<p>Bien argumenté.</p>",
              commentformat=1)  # fmt: skip
    space.file(work.context, "assignfeedback_comments/feedback", grade, "corrigé.pdf")
    space.add("assignfeedback_file", assignment=work.id, grade=grade, numfiles=1)
    space.file(work.context, "assignfeedback_file/feedback_files", grade, "annotations.pdf")
    space.log("mod_assign assessable submitted assign_submission", user, "u", work, when, objectid=submission)
    if space.plan.full:
        _annotated_pdf(space, work, grade, submission)
    return grade


def _annotated_pdf(space: Space, work: Activity, grade: int, submission: int) -> None:
    space.add("assignfeedback_editpdf_annot", gradeid=grade, pageno=0, x=5, y=5, endx=60, endy=60, type="line", draft=0)
    space.add(
        "assignfeedback_editpdf_cmnt", gradeid=grade, pageno=0, x=10, y=12, width=100, rawtext="À revoir", draft=0
    )
    page = space.file(work.context, "assignfeedback_editpdf/pages", grade, "image_page0.png")
    space.file(work.context, "assignfeedback_editpdf/download", grade, "feedback.pdf")
    space.add("assignfeedback_editpdf_rot", gradeid=grade, pageno=0, pathnamehash=page, isrotated=0, degree=0)
    space.add("task_adhoc", component="assignfeedback_editpdf",
              classname="\\assignfeedback_editpdf\\task\\convert_submission", nextruntime=moments.LAST_DAY,
              customdata=f'{{"submissionid":"{submission}","submissionattempt":"0"}}')  # fmt: skip


def _rubric(space: Space, work: Activity, grades: list[int]) -> None:
    area = space.add("grading_areas", contextid=work.context, component="mod_assign", areaname="submissions",
                     activemethod="rubric")  # fmt: skip
    facts = {"areaid": area, "status": 20, "timecreated": moments.OPENING, "usercreated": space.teacher,
             "timemodified": moments.OPENING, "usermodified": space.teacher}  # fmt: skip
    rubric = space.add("grading_definitions", method="rubric", name="Grille d'oral", **facts)
    guide = space.add("grading_definitions", method="guide", name="Guide d'évaluation", **facts)
    criterion = space.add("gradingform_rubric_criteria", definitionid=rubric, sortorder=1, description="Clarté")
    levels = [space.add("gradingform_rubric_levels", criterionid=criterion, score=score, definition=words)
              for score, words in ((0, "Confus"), (10, "Clair"))]  # fmt: skip
    advice = space.add("gradingform_guide_criteria", definitionid=guide, sortorder=1, shortname="Sources", maxscore=20)
    space.add("gradingform_guide_comments", definitionid=guide, sortorder=1, description="Citez vos sources.")
    for place, grade in enumerate(grades):
        definition = rubric if place % 2 else guide
        instance = space.add(
            "grading_instances", definitionid=definition, raterid=space.teacher, itemid=grade, status=1,
            timemodified=moments.LAST_DAY,
        )  # fmt: skip
        if place % 2:
            space.add("gradingform_rubric_fillings", instanceid=instance, criterionid=criterion,
                      levelid=levels[place % 4 // 2], remark="Vu", remarkformat=1)  # fmt: skip
        else:
            space.add(
                "gradingform_guide_fillings", instanceid=instance, criterionid=advice, remark="Vu", remarkformat=1,
                score=10,
            )  # fmt: skip


def _assign_overrides(space: Space, work: Activity) -> None:
    """Overrides of a group (settings, kept) and of a person (a trace), and an extension with its calendar event."""
    late = moments.at(2026, 1, 6)
    space.add("assign_overrides", assignid=work.id, groupid=space.groups[0], sortorder=1, duedate=late)
    for user in space.some(2):
        space.add("assign_overrides", assignid=work.id, userid=user, duedate=late)
        for kind in ("due", "extension"):
            space.add(
                "event", name=f"{work.name} : délai", courseid=0, userid=user, modulename="assign", instance=work.id,
                eventtype=kind, timestart=late, description="", uuid="",
            )  # fmt: skip


@dataclass(frozen=True)
class _Peers:
    activity: Activity
    dimension: int


def workshop(space: Space) -> None:
    """A workshop: an example and its reference assessment (kept); peers' assessments of it and of students' work."""
    peers = space.activity(
        "workshop", "Atelier : relecture croisée", phase=50, useexamples=1, strategy="accumulative", evaluation="best",
        grade=80, gradinggrade=20, submissionend=moments.at(2026, 2, 1), nattachments=1,
    )  # fmt: skip
    dimension = space.add(
        "workshopform_accumulative", workshopid=peers.id, sort=1, description="Clarté", grade=10, weight=1
    )
    space.add("workshopeval_best_settings", workshopid=peers.id, comparison=5)
    space.add(
        "workshopallocation_scheduled", workshopid=peers.id, enabled=1, submissionend=0, timeallocated=0,
        settings="{}",
    )  # fmt: skip
    example = _workshop_text(space, peers, space.teacher, example=1)
    assessors = _Peers(peers, dimension)
    _assessed(space, assessors, example, space.teacher, weight=1)
    learners = space.some(12)
    for place, user in enumerate(learners):
        text = _workshop_text(space, peers, user, example=0)
        _assessed(space, assessors, example, user, weight=0)
        for reader in (learners[place - 1], learners[place - 2]):
            _assessed(space, assessors, text, reader, weight=1)
        space.add(
            "workshop_aggregations", workshopid=peers.id, userid=user, gradinggrade=90, timegraded=moments.LAST_DAY
        )
    space.grade(peers, dict.fromkeys(learners, 60.0), 80, 0, f"{peers.name} (travail remis)")
    space.grade(peers, dict.fromkeys(learners, 15.0), 20, 1, f"{peers.name} (évaluation)")


def _workshop_text(space: Space, peers: Activity, author: int, example: int) -> int:
    when = space.when()
    text = space.add(
        "workshop_submissions", workshopid=peers.id, example=example, authorid=author, timecreated=when,
        timemodified=when, title="Exemple à évaluer" if example else "Mon travail", content="<p>Texte</p>",
        contentformat=1, attachment=1, grade=None if example else 70,
    )  # fmt: skip
    space.file(peers.context, "mod_workshop/submission_attachment", text, "texte.odt", author)
    space.file(peers.context, "mod_workshop/submission_content", text, "figure.png", author)
    return text


def _assessed(space: Space, peers: _Peers, text: int, reader: int, weight: int) -> None:
    when = space.when()
    assessment = space.add(
        "workshop_assessments", submissionid=text, reviewerid=reader, weight=weight, timecreated=when,
        timemodified=when, grade=65, gradinggrade=90, feedbackauthor="Merci pour ce texte.",
        feedbackauthorattachment=1,
    )  # fmt: skip
    space.add("workshop_grades", assessmentid=assessment, strategy="accumulative", dimensionid=peers.dimension, grade=7,
              peercomment="Plan clair.")  # fmt: skip
    space.file(peers.activity.context, "mod_workshop/overallfeedback_attachment", assessment, "relecture.pdf", reader)
