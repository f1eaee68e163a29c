"""One course space: the space itself, its people, and the tools with which activities fill it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from demo import moments
from demo.plan import Space as Plan
from demo.rows import Value
from demo.site import COURSE, MODULE, Site

SECTIONS = 5


@dataclass(frozen=True)
class Activity:
    """An activity of a space: its id in its own table, its course module and its context."""

    module: str
    id: int
    cmid: int
    context: int
    name: str


class Space:
    """A course space being built.

    `teachers` and `learners` are user ids; the traces of `learners` fill the activities: enrolled students, a repeater
    among them, and somebody who is no longer enrolled. `random` belongs to the space: the same plan, the same rows.
    """

    def __init__(self, site: Site, plan: Plan, order: int) -> None:
        self.site, self.plan, self.rows = site, plan, site.rows
        self.random = Random(f"{site.university.platform} {plan.shortname}")
        self.teachers = [site.users[person.username] for person in plan.teachers]
        self.students = [site.users[person.username] for person in plan.students]
        self.learners = self.students[: 24 if plan.full else 10]
        self.category, category_context = site.categories[plan.path]
        self.id = self._course(order)
        self.context = site.context(category_context, COURSE, self.id)
        self.sections = [
            site.rows.add("course_sections", course=self.id, section=number, summary="", timemodified=moments.OPENING)
            for number in range(SECTIONS)
        ]
        self._sequences: dict[int, list[int]] = {section: [] for section in self.sections}
        self.activities: list[Activity] = []
        self.groups: list[int] = []
        self.grade_category, self.course_item = self._gradebook()

    @property
    def teacher(self) -> int:
        """The space's first teacher."""
        return self.teachers[0]

    def when(self) -> int:
        """Return some moment of the year that ends."""
        return self.random.randrange(moments.FIRST_DAY, moments.LAST_DAY)

    def some(self, how_many: int) -> list[int]:
        """Return the first learners: a repeater, then others."""
        return self.learners[:how_many]

    def add(self, table: str, **values: Value) -> int:
        """Add a row (see Rows.add)."""
        return self.rows.add(table, **values)

    def activity(self, module: str, name: str, section: int = 1, completion: int = 2, **columns: Value) -> Activity:
        """Add an activity: a row of its own table, its course module and its context."""
        facts: dict[str, Value] = {"course": self.id, "name": name, "intro": f"<p>{name}</p>", "introformat": 1}
        facts |= {"timemodified": moments.OPENING} | columns
        instance = self.rows.add(module, **facts)
        cmid = self.rows.add(
            "course_modules", course=self.id, module=self.site.modules[module], instance=instance,
            section=self.sections[section], idnumber="", added=moments.OPENING, visible=1, visibleold=1,
            completion=completion, completionview=1 if completion == 2 else 0,
        )  # fmt: skip
        self._sequences[self.sections[section]].append(cmid)
        context = self.site.context(self.context, MODULE, cmid)
        made = Activity(module, instance, cmid, context, name)
        self.activities.append(made)
        return made

    def file(self, context: int, area: str, item: int, name: str, user: int | None = None) -> str:
        """Add a file and its directory to an area (`component/filearea`); return its pathnamehash."""
        author = user or self.teacher
        self._file_row(context, area, item, ".", author)
        return self._file_row(context, area, item, name, author)

    def grade(
        self, activity: Activity, grades: Mapping[int, float], highest: float = 20, number: int = 0, name: str = ""
    ) -> int:
        """Add a grade item for the activity and these people's grades, with their history; return the item's id."""
        item = self.grade_item(
            itemtype="mod", itemmodule=activity.module, iteminstance=activity.id, itemnumber=number,
            itemname=name or activity.name, grademax=highest,
        )  # fmt: skip
        for user, grade in grades.items():
            self.grade_row(item, user, grade, highest, f"mod/{activity.module}")
        return item

    def grade_item(self, **columns: Value) -> int:
        """Add a grade item of the space, last in order."""
        self._last_order += 1
        facts: dict[str, Value] = {
            "courseid": self.id, "categoryid": self.grade_category, "sortorder": self._last_order,
            "timecreated": moments.OPENING, "timemodified": moments.OPENING,
        }  # fmt: skip
        item = self.rows.add("grade_items", **(facts | columns))
        copied = {
            key: self.rows.get("grade_items", item, key) for key in ("courseid", "categoryid", "itemname", "itemtype")
        }
        self.add("grade_items_history", action=1, oldid=item, source="", loggeduser=self.teacher,
                 timemodified=moments.OPENING, itemmodule=columns.get("itemmodule"),
                 iteminstance=columns.get("iteminstance"), grademax=columns.get("grademax", 100), **copied)  # fmt: skip
        return item

    def grade_row(self, item: int, user: int, grade: float, highest: float, source: str, **more: Value) -> int:
        """Add one grade and what the history keeps of it."""
        when = self.when()
        raw = None if source == "aggregation" else grade
        facts: dict[str, Value] = {
            "itemid": item, "userid": user, "rawgrade": raw, "rawgrademax": highest, "finalgrade": grade,
            "usermodified": self.teacher, "timemodified": when, **more,
        }  # fmt: skip
        row = self.rows.add("grade_grades", **facts, aggregationstatus="used", aggregationweight=0.05)
        for action in (1, 2):
            self.add("grade_grades_history", action=action, oldid=row, source=source, loggeduser=self.teacher, **facts)
        return row

    def log(
        self, event: str, user: int, crud: str, activity: Activity | None = None, when: int = 0, **more: Any
    ) -> None:
        """Add a line of the standard log for an event such as `mod_quiz attempt submitted quiz_attempts`."""
        component, target, action, table = event.split()
        self.add(
            "logstore_standard_log", eventname=f"\\{component}\\event\\{target}_{action}", component=component,
            action=action, target=target, objecttable=None if table == "-" else table, crud=crud, edulevel=2,
            contextid=activity.context if activity else self.context, contextlevel=MODULE if activity else COURSE,
            contextinstanceid=activity.cmid if activity else self.id, userid=user, courseid=self.id, anonymous=0,
            other="null", timecreated=when or self.when(), origin="web", ip="10.0.0.1", **more,
        )  # fmt: skip

    def finish(self) -> None:
        """Write what is known only at the end: the order of activities in each section."""
        for section, cmids in self._sequences.items():
            self.rows.change("course_sections", section, sequence=",".join(str(cmid) for cmid in cmids))

    def _course(self, order: int) -> int:
        base = self.rows.get("course_categories", self.category, "sortorder")
        count = self.rows.get("course_categories", self.category, "coursecount") or 0
        self.rows.change("course_categories", self.category, coursecount=int(count) + 1)
        return self.rows.add(
            "course", category=self.category, sortorder=base + int(count) + 1, fullname=self.plan.title,
            shortname=self.plan.shortname, idnumber=self.plan.code, summary=f"<p>{self.plan.title}</p>",
            summaryformat=1, format="topics", newsitems=5, startdate=moments.OPENING, enddate=moments.CLOSING,
            visible=1, visibleold=1, groupmode=1, timecreated=moments.OPENING + order, timemodified=moments.OPENING,
            enablecompletion=1, cacherev=moments.OPENING,
        )  # fmt: skip

    def _gradebook(self) -> tuple[int, int]:
        category = self.rows.add(
            "grade_categories", courseid=self.id, depth=1, fullname="?", aggregation=13, aggregateonlygraded=1,
            timecreated=moments.OPENING, timemodified=moments.OPENING,
        )  # fmt: skip
        self.rows.change("grade_categories", category, path=f"/{category}/")
        self.add(
            "grade_categories_history", action=1, oldid=category, source="system", loggeduser=self.teacher,
            courseid=self.id, depth=1, path=f"/{category}/", fullname="?", timemodified=moments.OPENING,
        )  # fmt: skip
        self._last_order = 1
        item = self.rows.add(
            "grade_items", courseid=self.id, categoryid=None, itemtype="course", iteminstance=category, sortorder=1,
            timecreated=moments.OPENING, timemodified=moments.OPENING,
        )  # fmt: skip
        return category, item

    def _file_row(self, context: int, area: str, item: int, name: str, user: int) -> str:
        path_hash = _sha1(f"/{context}/{area}/{item}/{name}")
        if path_hash in self.site.files:
            return path_hash
        self.site.files.add(path_hash)
        component, filearea = area.split("/")
        content = "" if name == "." else f"Contenu inventé : {name}\n"
        self.add(
            "files", contenthash=_sha1(content), pathnamehash=path_hash, contextid=context, component=component,
            filearea=filearea, itemid=item, filepath="/", filename=name, userid=user, filesize=len(content.encode()),
            mimetype=None if name == "." else "text/plain", timecreated=moments.FIRST_DAY,
            timemodified=moments.FIRST_DAY,
        )  # fmt: skip
        return path_hash


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
