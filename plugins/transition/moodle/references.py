"""What the columns of a Moodle table say by their names: a person, a place, another row. No rule is read here.

Moodle declares no foreign keys in the database, so names are all there is: ``<table>id`` in core, ``<module>id`` or the
module's own name in its activity's tables; the exceptions are listed with their source.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import sqlalchemy as sa

from transition.moodle.database import MoodleDatabase

Kind = Literal["course", "context", "module", "instance"]

_PERSON = re.compile(
    r"(\w*_)?\w*user(_?id)?|userid\w+|user(modified|created)|allocatedmarker|[a-z]+(?<!group)by"
    r"|(author|creator|grader|learner|member|modifier|owner|participant|person|rater|recipient|requester|reviewer"
    r"|student|teacher|tutor)(_?id)?"
)
_PERSON_AS_TEXT = frozenset({"userkey", "username", "useremail", "studentnumber"})  # a student's number or address
_COURSE = ("course", "courseid", "course_id")
_CONTEXT = ("contextid", "usingcontextid", "parentcontextid")
_MODULE = ("cmid", "coursemoduleid", "coursemodule")
_OWN_PLACES: dict[Kind, tuple[str, ...]] = {"course": _COURSE, "context": _CONTEXT, "module": _MODULE}

# (how the table's name begins, column): the table whose id it holds; install.xml of each plugin says so.
_IRREGULAR = {
    ("assign", "assignment"): "assign",
    ("assign", "submission"): "assign_submission",
    ("assign", "grade"): "assign_grades",
    ("checklist", "item"): "checklist_item",
    ("enrol_lti", "ltiuserid"): "enrol_lti_users",
    ("enrol_lti_resource_link", "resourceid"): "enrol_lti_tools",
    ("enrol_lti_user_resource_link", "resourcelinkid"): "enrol_lti_resource_link",
    ("feedback_value", "completed"): "feedback_completed",
    ("feedback_valuetmp", "completed"): "feedback_completedtmp",
    ("file_conversion", "sourcefileid"): "files",
    ("forum", "discussion"): "forum_discussions",
    ("grade_", "itemid"): "grade_items",
    ("gradingform_", "instanceid"): "grading_instances",
    ("hvp", "content_id"): "hvp",
    ("message", "messageid"): "messages",
    ("message", "conversationid"): "message_conversations",
    ("offlinequiz", "listid"): "offlinequiz_p_lists",
    ("offlinequiz_results", "usageid"): "question_usages",
    ("quiz_attempts", "uniqueid"): "question_usages",
    ("simplecertificate", "certificateid"): "simplecertificate",
}
# A scale when negative, a number of points when positive; a question of a questionnaire: another space's, when public.
_NO_LINK = {"scaleid", "question_id"}
_FARTHEST = 3  # tables between a row and its space
_CONTEXT_IN = {("xapi_states", "itemid")}  # core_xapi stores a context's id there


@dataclass(frozen=True)
class Step:
    """``column`` of a table holds the id of a row of ``parent``."""

    column: str
    parent: str


@dataclass(frozen=True)
class Place:
    """How the rows of a table lead to a course space: the steps up, then a column of the table where they end.

    :param kind: what that column holds: a course, a context, a course module, or (``instance``) the number of an
        activity whose kind ``modulename`` names (table ``event``).
    """

    steps: tuple[Step, ...]
    column: str
    kind: Kind


@dataclass(frozen=True)
class References:
    """What the names of a schema's columns say. :param moodle: the schema."""

    moodle: MoodleDatabase
    _links: dict[str, tuple[Step, ...]] = field(default_factory=dict, compare=False, repr=False)

    def people(self, name: str) -> list[str]:
        """The columns of a table that hold the id of a person (table ``user``)."""
        columns = self.moodle[name].c
        return [
            c.name
            for c in columns
            if isinstance(c.type, sa.BigInteger) and _PERSON.fullmatch(c.name) and not _irregular(name, c.name)
        ]

    def names_people(self, name: str) -> bool:
        """Whether a row of a table names a person itself, by id or in clear text."""
        return bool(self.people(name)) or any(c.name in _PERSON_AS_TEXT for c in self.moodle[name].c)

    def refers_to_people(self, name: str) -> bool:
        """Whether a table names people, or leads, through the tables of its plugin, to one that does."""
        return self._leads_to_people(name, frozenset())

    def links(self, name: str) -> tuple[Step, ...]:
        """The columns of a table that hold the id of a row of another one; courses, contexts and people aside."""
        if name not in self._links:
            known = {*_NO_LINK, *self.people(name), *_COURSE, *_CONTEXT, *_MODULE}
            numbers = [c.name for c in self.moodle[name].c if isinstance(c.type, sa.BigInteger) and c.name != "id"]
            found = [(column, self._target(name, column)) for column in numbers if column not in known]
            self._links[name] = tuple(Step(column, parent) for column, parent in found if parent)
        return self._links[name]

    def places(self, name: str) -> list[Place]:
        """The ways from a table to the course spaces: its own columns, else through a table above it, at most three."""
        for steps in range(_FARTHEST + 1):
            if found := list(self._places(name, steps)):
                return found
        return []

    def through(self, name: str, parent: str) -> list[Place]:
        """The ways from a table to the course spaces that pass by a table above it, the shortest first."""
        ways = [place for steps in range(1, _FARTHEST + 1) for place in self._places(name, steps)]
        return [place for place in ways if parent in {step.parent for step in place.steps}]

    def near_places(self, name: str) -> list[Place]:
        """As :meth:`places`; through one table above even if the table has a column of its own, which may hold 0."""
        return [place for steps in range(2) for place in self._places(name, steps)] or self.places(name)

    def indexed_places(self, name: str) -> list[Place]:
        """Those of :meth:`near_places` that an index of the table serves; all when none does (a small table, then)."""
        ways = self.near_places(name)
        return [place for place in ways if (name, _searched(place)) in self.leading_columns] or ways

    @cached_property
    def leading_columns(self) -> frozenset[tuple[str, str]]:
        """Every (table, column) that an index begins with."""
        prefix = self.moodle.prefix
        return frozenset(
            (table.removeprefix(prefix), columns[0])
            for table, of_table in self.moodle.indexes.items()
            for columns in of_table.values()
        )

    def _leads_to_people(self, name: str, seen: frozenset[str]) -> bool:
        if self.names_people(name):
            return True
        own = name.split("_", maxsplit=1)[0]
        above = {step.parent for step in self.links(name)} - seen - {name}
        return any(
            _same_plugin(own, parent) and self._leads_to_people(parent, seen | {name})
            for parent in above
            if parent != own
        )

    def _places(self, name: str, steps: int) -> Iterator[Place]:
        if steps:
            for step in self.links(name):
                if step.parent != name:
                    for place in self._places(step.parent, steps - 1):
                        yield Place((step, *place.steps), place.column, place.kind)
            return
        for kind, columns in _OWN_PLACES.items():
            yield from (Place((), column, kind) for column in columns if self._is_number(name, column))
        yield from (Place((), column, "context") for owner, column in _CONTEXT_IN if owner == name)
        if "modulename" in self.moodle[name].c and self._is_number(name, "instance"):
            yield Place((), "instance", "instance")

    def _is_number(self, name: str, column: str) -> bool:
        columns = self.moodle[name].c
        return column in columns and isinstance(columns[column].type, sa.BigInteger)

    def _target(self, name: str, column: str) -> str | None:
        if irregular := _irregular(name, column):
            return irregular if irregular in self.moodle else None
        activities = [activity for activity in self.moodle.activities if name.startswith(activity)]
        if column in activities and column in self.moodle:
            return column
        base = column.removesuffix("id").removesuffix("_").replace("_", "")
        if not column.endswith("id") or not base:
            return None
        words = name.split("_")
        plugin = ["".join(words[:count]) for count in range(len(words) - 1, 0, -1)] + activities
        sounds = [start + base + ending for start in (*plugin, "") for ending in ("", "s", "es")]
        # A table of one activity does not name another activity: `choice_id` of a questionnaire is no choice.
        others = set(self.moodle.activities) - set(activities) if activities else set()
        candidates = (self._by_sound.get(sound) for sound in sounds)
        return next((parent for parent in candidates if parent and parent not in others), None)

    @cached_property
    def _by_sound(self) -> dict[str, str]:
        return {name.replace("_", ""): name for name in self.moodle.tables}


def _searched(place: Place) -> str:
    """The column of the table itself that a search by this way compares first."""
    if place.steps:
        return place.steps[0].column
    return "modulename" if place.kind == "instance" else place.column


def _irregular(name: str, column: str) -> str | None:
    found = [
        (len(start), parent) for (start, own), parent in _IRREGULAR.items() if own == column and name.startswith(start)
    ]
    return max(found)[1] if found else None


def _same_plugin(own: str, parent: str) -> bool:
    """An activity's table, or a subplugin's (``assignfeedback_file`` of ``assign``), or attempts at questions."""
    root = parent.split("_", maxsplit=1)[0]
    return own.startswith(root) or root.startswith(own) or parent.startswith(("question_", "grading_"))
