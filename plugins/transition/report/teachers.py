"""For teachers: the dates of their activities that are past, to check before the activity is used again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.rules.model import Rule, load_rules
from transition.state import tables
from transition.workbook import Table, Value, add_table, new_book

HEADINGS = {"Code": 14, "Espace": 40, "Activité": 18, "Nom": 40, "Champ": 34, "Date": 17, "À vérifier": 60, "Lien": 60}
_SPACES = 500  # read at a time

# What Moodle's forms call the columns, in French; a column of a module that is not here is shown by its own name.
FIELDS = {
    "allowsubmissionsfromdate": "Autoriser la remise à partir du", "duedate": "Date de remise",
    "cutoffdate": "Date limite", "gradingduedate": "Rappel d'évaluer avant le",
    "timeopen": "Ouverture", "timeclose": "Fermeture", "opendate": "Ouverture", "closedate": "Fermeture",
    "openingtime": "Ouverture", "closingtime": "Fermeture", "time": "Date de l'épreuve",
    "available": "Disponible à partir du", "deadline": "À faire avant le",
    "assesstimestart": "Début des évaluations", "assesstimefinish": "Fin des évaluations",
    "timeavailablefrom": "Disponible à partir du", "timeavailableto": "Disponible jusqu'au",
    "timeviewfrom": "Lecture seule à partir du", "timeviewto": "Lecture seule jusqu'au",
    "editbegin": "Début de la modification", "editend": "Fin de la modification",
    "chattime": "Date de la prochaine session",
    "submissionstart": "Début des remises", "submissionend": "Fin des remises",
    "assessmentstart": "Début des évaluations", "assessmentend": "Fin des évaluations",
}  # fmt: skip


@dataclass(frozen=True, order=True)
class PastDate:
    """One date that is past. ``moment``: seconds since 1970, as Moodle stores it; ``link``: to the activity."""

    code: str
    space: str
    activity: str
    name: str
    moment: int
    field: str
    check: str
    link: str


def past_dates(campaign: Campaign, before: datetime | None = None) -> Iterator[PastDate]:
    """The dates before ``before`` (now) in the activities of the spaces reset by the run, by space, activity and date.

    Which columns are dates is in the rules (``dates``); 0 is Moodle's « no date ».
    """
    limit = int((before or datetime.now(UTC)).timestamp())
    rules = [rule for rule in load_rules() if rule.activity and rule.dates and rule.activity in campaign.moodle]
    decision = tables.decision.c
    reset = sa.select(decision.courseid).where(
        decision.run == campaign.run, decision.in_scope == sa.true(), decision.decision == "reset"
    )
    with campaign.engine.connect() as connection:
        courses = connection.execute(reset.order_by(decision.code, decision.courseid)).scalars().all()
        for start in range(0, len(courses), _SPACES):
            part = courses[start : start + _SPACES]
            yield from sorted(date for rule in rules for date in _of_rule(connection, campaign, rule, part, limit))


def workbook(campaign: Campaign) -> tuple[bytes, int]:
    """The list as an Excel workbook, and its number of dates."""
    memory = BytesIO()
    with new_book(memory) as book:
        count = add_table(book, Table("Dates", HEADINGS, rows(campaign)))
    return memory.getvalue(), count


def rows(campaign: Campaign) -> Iterator[tuple[Value, ...]]:
    """The list as rows under HEADINGS; dates are shown in the platform's time zone."""
    for date in past_dates(campaign):
        local = datetime.fromtimestamp(date.moment, campaign.platform.zone).replace(tzinfo=None)
        yield date.code, date.space, date.activity, date.name, date.field, local, date.check, date.link


def _of_rule(
    connection: sa.Connection, campaign: Campaign, rule: Rule, courses: Sequence[int], limit: int
) -> Iterator[PastDate]:
    moodle = campaign.moodle
    own, course, cm = moodle[str(rule.activity)], moodle["course"], moodle["course_modules"]
    module = moodle.activities.get(str(rule.activity))
    dates = [own.c[name] for name in rule.dates if name in own.c]
    if module is None or not dates:
        return
    joined = (
        own.join(course, course.c.id == own.c.course)
        .join(cm, sa.and_(cm.c.course == own.c.course, cm.c.module == module, cm.c.instance == own.c.id))
    )  # fmt: skip
    past = sa.or_(*(sa.and_(date > 0, date < limit) for date in dates))
    query = (
        sa.select(course.c.idnumber, course.c.fullname, own.c.name.label("title"), cm.c.id, *dates)
        .select_from(joined)
        .where(own.c.course.in_(courses), cm.c.deletioninprogress == 0, past)
    )
    for code, space, title, cmid, *moments in connection.execute(query):
        link = f"{campaign.platform.site}/mod/{rule.activity}/view.php?id={cmid}"
        for column, moment in zip(dates, moments, strict=True):
            if 0 < (moment or 0) < limit:
                field = FIELDS.get(column.name, column.name)
                yield PastDate(code or "", space, rule.label, title, moment, field, rule.check, link)
