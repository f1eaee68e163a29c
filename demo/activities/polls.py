"""Inquiries: feedback, questionnaire, survey. Questions stay, answers go, unfinished ones too."""

from __future__ import annotations

from demo import moments
from demo.space import Space


def feedback(space: Space) -> None:
    """An anonymous feedback and a named one, with finished and unfinished answers; templates stay."""
    for name, anonymous in (("Évaluation de l'enseignement", 1), ("Feedback de mi-parcours", 2)):
        inquiry = space.activity("feedback", name, anonymous=anonymous, page_after_submit="", site_after_submit="",
                                 timeclose=moments.at(2026, 6, 20))  # fmt: skip
        item = space.add("feedback_item", feedback=inquiry.id, name="Votre avis", label="avis", typ="textarea",
                         presentation="30|5", hasvalue=1, position=1)  # fmt: skip
        for user in space.some(8):
            done = space.add("feedback_completed", feedback=inquiry.id, userid=user, timemodified=space.when(),
                             anonymous_response=anonymous)  # fmt: skip
            space.add("feedback_value", item=item, completed=done, value="C'était bien.")
        user = space.learners[-1]
        begun = space.add(
            "feedback_completedtmp", feedback=inquiry.id, userid=user, guestid="", timemodified=space.when(),
            anonymous_response=anonymous,
        )  # fmt: skip
        space.add("feedback_valuetmp", item=item, completed=begun, value="Je pense que")
    template = space.add("feedback_template", course=space.id, name="Modèle de l'UFR")
    space.add("feedback_item", feedback=0, template=template, name="Votre avis", typ="textarea", presentation="30|5",
              hasvalue=1, position=1)  # fmt: skip


def questionnaire(space: Space) -> None:
    """A questionnaire with one question of each kind of answer table; its survey and questions stay."""
    form = space.activity("questionnaire", "Questionnaire de rentrée", qtype=0, respondenttype="fullname", resume=1,
                          grade=10)  # fmt: skip
    survey = space.add(
        "questionnaire_survey", name=form.name, courseid=space.id, realm="private", status=0, title=form.name,
        info="", thanks_page="", thank_head="", thank_body="",
    )  # fmt: skip
    space.rows.change("questionnaire", form.id, sid=survey)
    part = space.add("questionnaire_fb_sections", surveyid=survey, section=1, sectionlabel="S1", sectionheading="")
    space.add(
        "questionnaire_feedback", sectionid=part, feedbacklabel="b", feedbacktext="Bien", minscore=0, maxscore=101
    )
    questions = {
        kind: space.add("questionnaire_question", surveyid=survey, name=f"Q{kind}", type_id=kind, position=place,
                        content=f"Question {place}", required="n", deleted="n", length=0, precise=0)
        for place, kind in enumerate((1, 2, 4, 5, 8, 9), start=1)
    }  # fmt: skip
    choices = {kind: space.add("questionnaire_quest_choice", question_id=questions[kind], content=text)
               for kind, text in ((4, "!other=Autre"), (5, "TD"), (8, "Utile"))}  # fmt: skip
    space.add("questionnaire_dependency", questionid=questions[2], surveyid=survey, dependquestionid=questions[1],
              dependchoiceid=0, dependlogic=1, dependandor="and")  # fmt: skip
    space.file(form.context, "mod_questionnaire/question", questions[1], "illustration.png")
    marks = dict.fromkeys(space.some(10), 8.0)
    for place, user in enumerate(marks):
        answer = space.add("questionnaire_response", questionnaireid=form.id, submitted=space.when(),
                           complete="y" if place else "n", grade=0, userid=user)  # fmt: skip
        _answers(space, answer, questions, choices)
        if place == 1:
            space.file(form.context, "mod_questionnaire/file", answer, "justificatif.pdf", user)
    space.grade(form, marks, 10)


def _answers(space: Space, answer: int, questions: dict[int, int], choices: dict[int, int]) -> None:
    space.add("questionnaire_response_bool", response_id=answer, question_id=questions[1], choice_id="y")
    space.add("questionnaire_response_text", response_id=answer, question_id=questions[2], response="J'aime l'algèbre.")
    space.add("questionnaire_resp_single", response_id=answer, question_id=questions[4], choice_id=choices[4])
    space.add("questionnaire_response_other", response_id=answer, question_id=questions[4], choice_id=choices[4],
              response="Le soir")  # fmt: skip
    space.add("questionnaire_resp_multiple", response_id=answer, question_id=questions[5], choice_id=choices[5])
    space.add(
        "questionnaire_response_rank", response_id=answer, question_id=questions[8], choice_id=choices[8],
        rankvalue=4,
    )  # fmt: skip
    space.add("questionnaire_response_date", response_id=answer, question_id=questions[9], response="2025-09-15")


def survey(space: Space) -> None:
    """A survey: answers and the teacher's notes on each person go."""
    inquiry = space.activity("survey", "Consultation COLLES", template=1, timecreated=moments.OPENING, questions="1,2")
    for user in space.some(10):
        for question in (1, 2):
            space.add(
                "survey_answers", userid=user, survey=inquiry.id, question=question, time=space.when(), answer1="2",
                answer2="3",
            )  # fmt: skip
        space.add("survey_analysis", survey=inquiry.id, userid=user, notes="À encourager")
