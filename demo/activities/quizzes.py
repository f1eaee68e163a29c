"""The question bank, and the tests made from it: quiz, offline quiz; and Hot Potatoes."""

from __future__ import annotations

from dataclasses import dataclass

from demo import moments
from demo.space import Activity, Space


@dataclass(frozen=True)
class Question:
    """A question of the bank: its id and that of its entry."""

    id: int
    entry: int


def bank(space: Space) -> list[Question]:
    """Three questions in the space's own bank (kept, whatever happens to the attempts)."""
    top = space.add("question_categories", name="top", contextid=space.context, info="", stamp=f"demo+top+{space.id}")
    shelf = space.add("question_categories", name="Banque de l'élément", contextid=space.context, info="", parent=top,
                      stamp=f"demo+bank+{space.id}")  # fmt: skip
    return [_question(space, shelf, number) for number in range(3)]


def _question(space: Space, shelf: int, number: int) -> Question:
    entry = space.add("question_bank_entries", questioncategoryid=shelf, ownerid=space.teacher)
    when = moments.OPENING
    question = space.add(
        "question", name=f"Q{number + 1}", questiontext="<p>Vrai ou faux ?</p>", questiontextformat=1,
        generalfeedback="", qtype="essay" if number == 2 else "truefalse", stamp=f"demo+{space.id}+{number}",
        createdby=space.teacher, modifiedby=space.teacher, timecreated=when, timemodified=when,
    )  # fmt: skip
    space.add("question_versions", questionbankentryid=entry, version=1, questionid=question, status="ready")
    if number == 2:
        space.add("qtype_essay_options", questionid=question, responseformat="editorfilepicker", attachments=1)
    else:
        answers = [space.add("question_answers", question=question, answer=answer, fraction=fraction, feedback="")
                   for answer, fraction in (("Vrai", 1), ("Faux", 0))]  # fmt: skip
        space.add("question_truefalse", question=question, trueanswer=answers[0], falseanswer=answers[1])
    space.add("question_hints", questionid=question, hint="Relisez le cours.", hintformat=1)
    return Question(question, entry)


def quiz(space: Space, questions: list[Question]) -> None:
    """A quiz with attempts and overrides, regrades, statistics, and a teacher's preview of a question (kept)."""
    test = space.activity(
        "quiz", "Test : contrôle continu", grade=20, sumgrades=3, attempts=2, preferredbehaviour="deferredfeedback",
        timeopen=moments.at(2025, 11, 3), timeclose=moments.at(2025, 11, 10), questionsperpage=1,
    )  # fmt: skip
    space.add("quiz_sections", quizid=test.id, firstslot=1, heading="")
    space.add("quiz_feedback", quizid=test.id, feedbacktext="<p>Bravo</p>", mingrade=10, maxgrade=21)
    for slot, question in enumerate(questions, start=1):
        item = space.add("quiz_slots", slot=slot, quizid=test.id, page=slot, maxmark=1)
        space.add("question_references", usingcontextid=test.context, component="mod_quiz", questionarea="slot",
                  itemid=item, questionbankentryid=question.entry)  # fmt: skip
    marks = {user: 5.0 + place % 15 for place, user in enumerate(space.learners)}
    for place, (user, mark) in enumerate(marks.items()):
        for number in (1, 2) if place % 4 == 0 and space.plan.full else (1,):
            _attempt(space, test, questions, user, number)
        space.add("quiz_grades", quiz=test.id, userid=user, grade=mark, timemodified=moments.LAST_DAY)
    space.grade(test, marks)
    space.add("quiz_overrides", quiz=test.id, groupid=space.groups[0], attempts=5)
    space.add("quiz_overrides", quiz=test.id, userid=space.learners[0], timelimit=5400)
    if space.plan.full:
        _statistics(space, test, questions)
        _usage(space, space.site.context_of(space.teacher), "core_question_preview", questions[:1], space.teacher)


def _attempt(space: Space, test: Activity, questions: list[Question], user: int, number: int) -> None:
    usage = _usage(space, test.context, "mod_quiz", questions, user)
    when = space.when()
    attempt = space.add(
        "quiz_attempts", quiz=test.id, userid=user, attempt=number, uniqueid=usage, layout="1,0,2,0,3,0",
        state="finished", timestart=when, timefinish=when + moments.HOUR, timemodified=when, sumgrades=2,
    )  # fmt: skip
    space.log("mod_quiz attempt submitted quiz_attempts", user, "u", test, when, objectid=attempt, relateduserid=user)
    if user == space.learners[0]:
        space.add("quiz_overview_regrades", questionusageid=usage, slot=1, newfraction=1, oldfraction=0, regraded=1,
                  timemodified=when)  # fmt: skip


def _usage(space: Space, context: int, component: str, questions: list[Question], user: int | None) -> int:
    """Add a question usage, with what `user` answered in it (nobody: a template); return its id."""
    usage = space.add("question_usages", contextid=context, component=component, preferredbehaviour="deferredfeedback")
    for slot, question in enumerate(questions, start=1):
        when = space.when()
        attempt = space.add(
            "question_attempts", questionusageid=usage, slot=slot, behaviour="deferredfeedback", questionid=question.id,
            maxmark=1, maxfraction=1, questionsummary="Vrai ou faux ?", rightanswer="Vrai", responsesummary="Vrai",
            timemodified=when,
        )  # fmt: skip
        for number, state in enumerate(("todo", "complete", "gradedright") if user else ("todo",)):
            step = space.add("question_attempt_steps", questionattemptid=attempt, sequencenumber=number, state=state,
                             fraction=1 if number == 2 else None, timecreated=when,
                             userid=user or space.teacher)  # fmt: skip
            if number:
                name = "answer" if number == 1 else "-finish"
                space.add("question_attempt_step_data", attemptstepid=step, name=name, value="1")
        if slot == 3 and user:
            space.file(context, "question/response_attachments", step, "réponse.pdf", user)
    return usage


def _statistics(space: Space, test: Activity, questions: list[Question]) -> None:
    """What Moodle computes from the attempts; `hashcode` stands for the set of attempts."""
    code = f"{test.id:040d}"
    when = moments.LAST_DAY
    space.add("quiz_statistics", hashcode=code, whichattempts=1, timemodified=when, firstattemptscount=10,
              highestattemptscount=10, lastattemptscount=10, allattemptscount=12)  # fmt: skip
    space.add(
        "question_statistics", hashcode=code, timemodified=when, questionid=questions[0].id, slot=1, subquestion=0,
        s=10,
    )  # fmt: skip
    analysis = space.add(
        "question_response_analysis", hashcode=code, whichtries="lasttry", timemodified=when,
        questionid=questions[0].id, variant=1, subqid="a", aid="1", response="Vrai", credit=1,
    )  # fmt: skip
    space.add("question_response_count", **{"analysisid": analysis, "try": 1, "rcount": 7})
    space.add("task_adhoc", component="quiz_statistics", classname="\\quiz_statistics\\task\\recalculate",
              nextruntime=when, customdata=f'{{"quizid":{test.id}}}')  # fmt: skip


def offlinequiz(space: Space, questions: list[Question]) -> None:
    """An offline quiz: sheets, scans and results of students; the template usages of its groups are settings (kept)."""
    test = space.activity("offlinequiz", "Test hors ligne : partiel", grade=20, numgroups=1, docscreated=1,
                          time=moments.at(2026, 1, 12), timecreated=moments.OPENING)  # fmt: skip
    template = _usage(space, test.context, "mod_offlinequiz", questions, None)
    group = space.add("offlinequiz_groups", offlinequizid=test.id, groupnumber=1, sumgrades=3, numberofpages=1,
                      templateusageid=template)  # fmt: skip
    for slot, question in enumerate(questions, start=1):
        space.add("offlinequiz_group_questions", offlinequizid=test.id, offlinegroupid=group, questionid=question.id,
                  position=slot, page=1, slot=slot, maxmark=1)  # fmt: skip
    space.file(test.context, "mod_offlinequiz/pdfs", 0, "feuilles.pdf")
    space.file(test.context, "mod_offlinequiz/participants", 0, "émargement.pdf")
    hall = space.add("offlinequiz_p_lists", offlinequizid=test.id, name="Amphi Pierre-Daure", listnumber=1, filename="")
    page = space.add("offlinequiz_scanned_p_pages", offlinequizid=test.id, listnumber=1, filename="liste.png",
                     time=moments.LAST_DAY, status="submitted", error="")  # fmt: skip
    queue = space.add("offlinequiz_queue", offlinequizid=test.id, importuserid=space.teacher,
                      timecreated=moments.at(2026, 1, 13), status="processed")  # fmt: skip
    space.add("offlinequiz_queue_data", queueid=queue, filename="scan.png", status="processed")
    learners = space.some(12)
    for user in learners:
        space.add("offlinequiz_participants", listid=hall, userid=user, checked=1)
        space.add("offlinequiz_p_choices", scannedppageid=page, userid=user, value=1)
        _sheet(space, test, group, questions, user)
    space.grade(test, {user: 11.0 + place for place, user in enumerate(learners[:8])})
    computed = space.add("offlinequiz_statistics", offlinequizid=test.id, offlinegroupid=group, allattempts=1,
                         timemodified=moments.LAST_DAY, firstattemptscount=12, allattemptscount=12)  # fmt: skip
    space.add("offlinequiz_q_statistics", offlinequizstatisticsid=computed, questionid=questions[0].id, slot=1, s=12)
    space.add("offlinequiz_q_response_stats", offlinequizstatisticsid=computed, questionid=questions[0].id, subqid="a",
              aid="1", response="Vrai", rcount=7)  # fmt: skip


def _sheet(space: Space, test: Activity, group: int, questions: list[Question], user: int) -> None:
    when = moments.at(2026, 1, 13)
    usage = _usage(space, test.context, "mod_offlinequiz", questions[:2], user)
    result = space.add(
        "offlinequiz_results", offlinequizid=test.id, offlinegroupid=group, userid=user, sumgrades=2, usageid=usage,
        teacherid=space.teacher, attendant="scanonly", status="complete", timestart=when, timefinish=when,
    )  # fmt: skip
    scan = space.add(
        "offlinequiz_scanned_pages", offlinequizid=test.id, resultid=result, filename=f"scan_{user}.png", groupnumber=1,
        userkey=space.site.numbers.get(user, ""), pagenumber=1, time=when, status="submitted",
    )  # fmt: skip
    space.file(test.context, "mod_offlinequiz/imagefiles", 0, f"scan_{user}.png", user)
    space.add("offlinequiz_hotspots", scannedpageid=scan, name="a-0-0", x=10, y=12, time=when)
    for corner in range(4):
        space.add("offlinequiz_page_corners", scannedpageid=scan, x=300, y=50, position=corner)
    for choice in range(4):
        space.add(
            "offlinequiz_choices", scannedpageid=scan, slotnumber=choice // 2 + 1, choicenumber=choice % 2, value=1
        )


def hotpot(space: Space) -> None:
    """A Hot Potatoes exercise; its parsed questions and strings belong to the exercise (kept)."""
    exercise = space.activity(
        "hotpot", "Exercice Hot Potatoes", sourcefile="/exercice.jmt", sourcetype="hp_6_jmatch_xml",
        timecreated=moments.OPENING, clickreporting=1,
    )  # fmt: skip
    space.file(exercise.context, "mod_hotpot/sourcefile", 0, "exercice.jmt")
    string = space.add("hotpot_strings", string=f"oui {exercise.id}", md5key=f"{exercise.id:032d}")
    question = space.add(
        "hotpot_questions", name="Q1", type=2, text=string, hotpotid=exercise.id, md5key=f"{exercise.id:032d}"
    )
    space.add("hotpot_cache", hotpotid=exercise.id, name="x", sourcefile="/exercice.jmt", md5key=f"{exercise.id:032d}")
    marks = {user: 40.0 + place for place, user in enumerate(space.some(12))}
    for user, mark in marks.items():
        when = space.when()
        attempt = space.add(
            "hotpot_attempts", hotpotid=exercise.id, userid=user, starttime=when, endtime=when, score=mark, attempt=1,
            timestart=when, timefinish=when, status=1, timemodified=when,
        )  # fmt: skip
        space.add("hotpot_details", attemptid=attempt, details="<hpjsresult/>")
        space.add("hotpot_responses", attemptid=attempt, questionid=question, score=50, weighting=100, correct="1",
                  wrong="2,3", ignored="")  # fmt: skip
    space.grade(exercise, marks, 100)
