"""What people build together and choose: glossary, database, choice, group choice, checklist, appointments."""

from __future__ import annotations

from demo import moments
from demo.space import Activity, Space


def glossary(space: Space) -> None:
    """A glossary: entries stay, students' too; ratings and comments on them go."""
    words = space.activity("glossary", "Glossaire de l'élément", allowcomments=1, assessed=1, scale=10, mainglossary=1,
                           timecreated=moments.OPENING)  # fmt: skip
    shelf = space.add("glossary_categories", glossaryid=words.id, name="Notions")
    authors = [space.teacher, *space.some(7)]
    for place, author in enumerate(authors):
        when = space.when()
        entry = space.add("glossary_entries", glossaryid=words.id, userid=author, concept=f"Notion {place + 1}",
                          definition="<p>Définition</p>", definitionformat=1, attachment="1", timecreated=when,
                          timemodified=when, teacherentry=int(place == 0), approved=1)  # fmt: skip
        space.add("glossary_alias", entryid=entry, alias=f"n{place + 1}")
        space.add("glossary_entries_categories", categoryid=shelf, entryid=entry)
        space.file(words.context, "mod_glossary/attachment", entry, "fiche.pdf", author)
        space.file(words.context, "mod_glossary/entry", entry, "image.png", author)
        _talk_about(space, words, "mod_glossary", "glossary_entry", entry)
        space.add(
            "tag_instance", tagid=space.site.tag("définition"), component="mod_glossary", itemtype="glossary_entries",
            itemid=entry, contextid=words.context, timecreated=when, timemodified=when,
        )  # fmt: skip
    space.grade(words, dict.fromkeys(authors[1:], 6.0), 10)


def _talk_about(space: Space, activity: Activity, component: str, area: str, item: int) -> None:
    """Add a student's comment on something and the teacher's rating of it."""
    when = space.when()
    space.add("comments", contextid=activity.context, component=component, commentarea=area, itemid=item,
              content="Très clair, merci.", userid=space.learners[-1], timecreated=when)  # fmt: skip
    space.add("rating", contextid=activity.context, component=component, ratingarea="entry", itemid=item, scaleid=10,
              rating=6, userid=space.teacher, timecreated=when, timemodified=when)  # fmt: skip


def data(space: Space) -> None:
    """A database activity: records and what hangs from them go, fields and templates stay."""
    base = space.activity("data", "Base de ressources", comments=1, approval=1, assessed=1, scale=10,
                          singletemplate="<p>[[Titre]]</p>", timeavailableto=moments.at(2026, 5, 30))  # fmt: skip
    fields = [space.add("data_fields", dataid=base.id, type=kind, name=name, description="")
              for kind, name in (("text", "Titre"), ("file", "Document"))]  # fmt: skip
    authors = space.some(8)
    for author in authors:
        when = space.when()
        record = space.add(
            "data_records", userid=author, dataid=base.id, timecreated=when, timemodified=when, approved=1
        )
        contents = [space.add("data_content", fieldid=field, recordid=record, content="Un titre") for field in fields]
        space.file(base.context, "mod_data/content", contents[1], "document.pdf", author)
        _talk_about(space, base, "mod_data", "database_entry", record)
        space.add("tag_instance", tagid=space.site.tag("ressource"), component="mod_data", itemtype="data_records",
                  itemid=record, contextid=base.context, timecreated=when, timemodified=when)  # fmt: skip
    space.grade(base, dict.fromkeys(authors, 6.0), 10)


def choice(space: Space) -> None:
    """A poll of one question: answers go, options stay."""
    poll = space.activity("choice", "Sondage : créneau de soutien", allowupdate=1, timeclose=moments.at(2025, 10, 10))
    options = [space.add("choice_options", choiceid=poll.id, text=text, timemodified=moments.OPENING)
               for text in ("Mardi", "Jeudi midi")]  # fmt: skip
    for place, user in enumerate(space.some(12)):
        space.add(
            "choice_answers", choiceid=poll.id, userid=user, optionid=options[place % 2], timemodified=space.when()
        )


def choicegroup(space: Space) -> None:
    """A choice of groups: its answers ARE memberships of the groups on offer."""
    offer = space.activity("choicegroup", "Choix du groupe de projet", allowupdate=1)
    for group in space.groups:
        space.add(
            "choicegroup_options", choicegroupid=offer.id, groupid=group, maxanswers=20, timemodified=moments.OPENING
        )


def checklist(space: Space) -> None:
    """A checklist: the teacher's items stay; personal items, ticks and comments of students go."""
    steps = space.activity("checklist", "Liste de tâches", useritemsallowed=1, studentcomments=1, teachercomments=1,
                           timecreated=moments.OPENING, maxgrade=100)  # fmt: skip
    items = [space.add("checklist_item", checklist=steps.id, displaytext=text, position=place)
             for place, text in enumerate(("Lire le cours", "Faire l'exercice 1"), start=1)]  # fmt: skip
    marks = dict.fromkeys(space.some(10), 50.0)
    for user in marks:
        when = space.when()
        own = space.add("checklist_item", checklist=steps.id, userid=user, displaytext="Réviser", position=3)
        for item in (*items, own):
            space.add(
                "checklist_check", item=item, userid=user, usertimestamp=when, teachermark=1, teachertimestamp=when,
                teacherid=space.teacher,
            )  # fmt: skip
        space.add("checklist_comment", itemid=items[0], userid=user, commentby=space.teacher, text="Continuez.")
        space.add("checklist_comment_student", itemid=items[0], usermodified=user, text="Fait !", timecreated=when,
                  timemodified=when)  # fmt: skip
        space.add("checklist_comp_notification", checklistid=steps.id, userid=user, timenotified=when)
    space.grade(steps, marks, 100)


def scheduler(space: Space) -> None:
    """Appointments: slots stay, bookings go, with the events that they wrote in people's calendars."""
    diary = space.activity(
        "scheduler", "Rendez-vous de suivi", schedulermode="onetime", maxbookings=1, staffrolename="", usenotes=3,
        usebookingform=1,
    )  # fmt: skip
    for place, user in enumerate(space.some(8)):
        start = moments.at(2026, 5, 4 + place, 14)
        slot = space.add(
            "scheduler_slots", schedulerid=diary.id, starttime=start, duration=15, teacherid=space.teacher,
            appointmentlocation="Bureau S3-101", notes="", timemodified=moments.FIRST_DAY, exclusivity=1,
        )  # fmt: skip
        space.file(diary.context, "mod_scheduler/slotnote", slot, "plan d'accès.png")
        if place == 7:
            continue
        booking = space.add(
            "scheduler_appointment", slotid=slot, studentid=user, attended=1, appointmentnote="Avance bien",
            teachernote="À suivre", studentnote="Je viendrai avec mon binôme", timecreated=start, timemodified=start,
        )  # fmt: skip
        for area, author in (("appointmentnote", 0), ("teachernote", 0), ("studentfiles", user)):
            space.file(diary.context, f"mod_scheduler/{area}", booking, "note.pdf", author or space.teacher)
        for kind, person in (("SSstu", user), ("SSsup", space.teacher)):
            space.add("event", name="Rendez-vous", courseid=0, userid=person, modulename="scheduler", instance=diary.id,
                      eventtype=f"{kind}:{slot}", timestart=start, description="", uuid="")  # fmt: skip
