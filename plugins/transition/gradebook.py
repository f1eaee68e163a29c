"""A course's gradebook, read as Moodle's own export reads it (``grade/export``, ``grade/lib.php``)."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import unescape
from typing import Any

import sqlalchemy as sa

from transition.moodle.database import MoodleDatabase
from transition.plaintext import from_html

_VALUE, _SCALE = 1, 2  # GRADE_TYPE_VALUE, GRADE_TYPE_SCALE
_PLAIN = 2  # FORMAT_PLAIN
_LAST = "1"  # GRADE_REPORT_AGGREGATION_POSITION_LAST
_USERS_AT_ONCE = 500


@dataclass(frozen=True)
class Item:
    """A column of the gradebook. ``name``: as the export heads it; ``scale``: its words, from the lowest."""

    id: int
    name: str
    gradetype: int
    lowest: Decimal
    highest: Decimal
    scale: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """A row of the export. ``situation``: '' for an active student, else why the person is no longer one."""

    id: int
    identity: tuple[str, ...]
    situation: str


@dataclass(frozen=True)
class Grade:
    """What a person has for an item: a final grade (None: not graded) and a feedback in plain text."""

    value: Decimal | None
    feedback: str


IDENTITY = {
    "firstname": "Prénom", "lastname": "Nom de famille", "idnumber": "Numéro d'identification",
    "institution": "Institution", "department": "Département", "email": "Adresse de courriel",
}  # fmt: skip


@dataclass(frozen=True)
class Gradebook:
    """The gradebook of one course. ``labels``: the French name of each activity plugin."""

    connection: sa.Connection
    moodle: MoodleDatabase
    courseid: int
    labels: Mapping[str, str]

    def items(self) -> list[Item]:
        """Every item, hidden ones too, in the order of ``grade_seq``: by category, its total first or last."""
        items, scales = self.moodle["grade_items"], self.moodle["scale"]
        query = (
            sa.select(items, scales.c.scale.label("words"))
            .select_from(items.outerjoin(scales, scales.c.id == items.c.scaleid))
            .where(items.c.courseid == self.courseid)
            .order_by(items.c.sortorder, items.c.id)
        )
        return [
            Item(row.id, self._name(row), row.gradetype, row.grademin, row.grademax, _words(row.words))
            for row in self._in_order(self.connection.execute(query).all())
        ]

    def people(self) -> list[Person]:
        """Who has a grade, is a student (a role of ``gradebookroles``) or is enrolled without any role; by name."""
        enrolled, roles, graded = self._enrolled(), self._roles(), self._graded()
        students = {userid for userid, student in roles.items() if student} | (enrolled.keys() - roles.keys())
        return sorted(
            (
                Person(row.id, tuple(row[1:-1]), _situation(row.deleted, enrolled.get(row.id)))
                for row in self._users(sorted(students | graded))
            ),
            key=lambda person: (*(_collated(name) for name in person.identity[1::-1]), person.id),
        )

    def grades(self, people: Sequence[Person]) -> Iterator[tuple[Person, dict[int, Grade]]]:
        """Each person with their grades by item id; some hundred people a query."""
        items, grades = self.moodle["grade_items"], self.moodle["grade_grades"]
        query = (
            sa.select(grades.c.userid, grades.c.itemid, grades.c.finalgrade, grades.c.feedback, grades.c.feedbackformat)
            .select_from(items.join(grades, grades.c.itemid == items.c.id))
            .where(items.c.courseid == self.courseid)
            .prefix_with("STRAIGHT_JOIN")
        )
        for start in range(0, len(people), _USERS_AT_ONCE):
            part = people[start : start + _USERS_AT_ONCE]
            found: dict[int, dict[int, Grade]] = {person.id: {} for person in part}
            for userid, itemid, value, feedback, kind in self.connection.execute(
                query.where(grades.c.userid.in_(found))
            ):
                text = (feedback or "") if kind == _PLAIN else from_html(feedback or "")
                found[userid][itemid] = Grade(value, text)
            yield from ((person, found[person.id]) for person in part)

    def _in_order(self, rows: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
        """``grade_seq::flatten``: a category stands where its total's sort order says."""
        parents = self._parents()
        children: dict[int | None, list[sa.Row[Any]]] = {}
        own = {row.iteminstance: row for row in rows if row.itemtype in ("course", "category")}
        for row in rows:
            above = (
                parents.get(row.iteminstance)
                if row.iteminstance in own and own[row.iteminstance] is row
                else row.categoryid
            )
            children.setdefault(above if above in own else None, []).append(row)
        last = self._total_last()

        def flat(row: sa.Row[Any]) -> list[sa.Row[Any]]:
            if own.get(row.iteminstance) is not row:
                return [row]
            below = [found for child in children.get(row.iteminstance, []) for found in flat(child)]
            return [*below, row] if last else [row, *below]

        return [found for row in children.get(None, []) for found in flat(row)]

    def _parents(self) -> dict[int, int | None]:
        categories = self.moodle["grade_categories"]
        query = sa.select(categories.c.id, categories.c.parent).where(categories.c.courseid == self.courseid)
        return {row.id: row.parent for row in self.connection.execute(query)}

    def _total_last(self) -> bool:
        settings = self.moodle["grade_settings"]
        query = sa.select(settings.c.value).where(
            settings.c.courseid == self.courseid, settings.c.name == "aggregationposition"
        )
        value = self.connection.execute(query).scalar()
        return (value or self.moodle.config.get("grade_aggregationposition", _LAST)) == _LAST

    def _name(self, row: sa.Row[Any]) -> str:
        """``grade_item::get_name`` and ``grade_export::format_column_name``, in French."""
        if row.itemtype == "course":
            name = row.itemname or "Total du cours"
        elif row.itemtype == "category":
            name = row.itemname or f"Total de {self._category(row.iteminstance)}"
        elif row.itemtype == "mod":
            name = f"{self.labels.get(row.itemmodule, row.itemmodule)} : {row.itemname or 'Note'}"
        else:
            name = row.itemname or "Note"
        return unescape(name)

    def _category(self, category: int) -> str:
        categories = self.moodle["grade_categories"]
        query = sa.select(categories.c.fullname).where(categories.c.id == category)
        return str(self.connection.execute(query).scalar() or "la catégorie")

    def _enrolled(self) -> dict[int, bool]:
        """Who is enrolled, by any method: user id to whether some enrolment is active."""
        enrol, ue = self.moodle["enrol"], self.moodle["user_enrolments"]
        query = (
            sa.select(ue.c.userid, sa.func.min(ue.c.status + enrol.c.status))
            .select_from(enrol.join(ue, ue.c.enrolid == enrol.c.id))
            .where(enrol.c.courseid == self.courseid)
            .group_by(ue.c.userid)
        )
        return {userid: status == 0 for userid, status in self.connection.execute(query)}

    def _roles(self) -> dict[int, bool]:
        """Who holds a role in the course's context: user id to whether one of them is a gradebook role (students)."""
        context, given = self.moodle["context"], self.moodle["role_assignments"]
        query = (
            sa.select(given.c.userid, given.c.roleid)
            .select_from(context.join(given, given.c.contextid == context.c.id))
            .where(context.c.contextlevel == 50, context.c.instanceid == self.courseid)
        )
        students = self.moodle.config.get("gradebookroles", "").split(",")
        roles: dict[int, bool] = {}
        for userid, role in self.connection.execute(query):
            roles[userid] = roles.get(userid, False) or str(role) in students
        return roles

    def _graded(self) -> set[int]:
        items, grades = self.moodle["grade_items"], self.moodle["grade_grades"]
        query = (
            sa.select(grades.c.userid)
            .distinct()
            .select_from(items.join(grades, grades.c.itemid == items.c.id))
            .where(items.c.courseid == self.courseid, is_given(grades))
        )
        return set(self.connection.execute(query).scalars())

    def _users(self, ids: list[int]) -> Iterator[Any]:
        user = self.moodle["user"]
        for start in range(0, len(ids), _USERS_AT_ONCE):
            part = user.c.id.in_(ids[start : start + _USERS_AT_ONCE])
            yield from self.connection.execute(
                sa.select(user.c.id, *(user.c[key] for key in IDENTITY), user.c.deleted).where(part)
            )


def is_given(grades: sa.FromClause) -> sa.ColumnElement[bool]:
    """Rows of ``grade_grades`` that say something: Moodle makes empty ones for whoever it lists in the gradebook."""
    return sa.or_(grades.c.finalgrade.is_not(None), grades.c.rawgrade.is_not(None), grades.c.feedback.is_not(None))


def shown(item: Item, grade: Grade | None) -> float | str:
    """A grade as the export shows it with the display type « Brut » (``grade_format_gradevalue``)."""
    if item.gradetype not in (_VALUE, _SCALE):
        return ""
    if grade is None or grade.value is None:
        return "-"
    if item.gradetype == _VALUE:
        return float(grade.value)
    if not item.scale:
        return "Erreur"
    rank = int(min(max(grade.value, item.lowest), item.highest))
    return item.scale[min(max(rank, 1), len(item.scale)) - 1]


def _words(scale: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in scale.split(",")) if scale else ()


def _situation(deleted: int, active: bool | None) -> str:
    if deleted:
        return "Compte supprimé"
    if active is None:
        return "Désinscrit"
    return "" if active else "Suspendu"


def _collated(name: str) -> str:
    """Names in the order of a directory: accents and case aside."""
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
