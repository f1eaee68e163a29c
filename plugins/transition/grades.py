"""Stage grade_exports: one Excel workbook a space, as its teacher gets it from Moodle's gradebook."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from upath import UPath

from transition import journal, storage, workbook
from transition.backup.rows import concerned_spaces, consistent_snapshot
from transition.campaign import Campaign, now
from transition.checksum import rows_checksum
from transition.errors import TransitionError
from transition.french import counted
from transition.gradebook import Gradebook, is_given
from transition.platforms import Strict
from transition.rules.compile import COURSE
from transition.rules.model import load_rules
from transition.state import tables

_STAGE = "grade_exports"
_MANIFEST = "manifest.json"
_BETWEEN_SAVES = 100  # workbooks that a kill can make the next run write again
_log = logging.getLogger(__name__)
_UNSTABLE = ("needsupdate", "timemodified")  # of grade_items: they change although no heading does


class Export(Strict):
    """The workbook of one space.

    :param rows: of the sheet, and ``cells``: filled ones, headings included, as read back from the file.
    :param grades: rows of ``grade_grades`` that say something, and ``fingerprint``: of these and of the items.
    :param outdated: items that Moodle has yet to recalculate (``needsupdate``): their totals may be behind.
    :param previous: files of the exports that this one replaced, which stay.
    """

    code: str
    file: str
    sha256: str
    rows: int
    cells: int
    grades: int
    fingerprint: str
    outdated: int
    exported_at: datetime
    previous: list[str]


class Exports(Strict):
    """``manifest.json`` of the exports: by course id."""

    platform: str
    site: str
    site_identifier: str
    year: int
    spaces: dict[int, Export]


@dataclass(frozen=True)
class _Due:
    courseid: int
    code: str
    path: UPath
    previous: Export | None


class Gradings(Strict):
    """The gradebook of a space now: items, those to recalculate, grades, fingerprint of grades and items."""

    items: int
    outdated: int
    grades: int
    fingerprint: str


def grade_exports(campaign: Campaign) -> None:
    """Export the gradebook of every space that the run concerns and that has grade items; writes nothing in Moodle.

    A workbook whose grades did not change since is left as it is; one that is replaced stays under a dated name, and a
    gradebook that was emptied since replaces nothing. No file is ever written over. A space that fails is journalled
    and does not stop the others: :func:`missing_exports` then names it.
    """
    with campaign.lock(_STAGE), journal.stage(campaign, _STAGE) as closing:
        exports, spaces = _load(campaign), concerned_spaces(campaign)
        with campaign.engine.connect() as connection:
            present = gradings(connection, campaign)
        due = [
            courseid for courseid, found in present.items() if _is_due(campaign, exports.spaces.get(courseid), found)
        ]
        failed = _export_all(campaign, exports, {courseid: spaces[courseid] for courseid in due})
        written = [exports.spaces[courseid] for courseid in due if courseid not in failed]
        outdated = sum(export.outdated > 0 for export in written)
        closing["rows_moved"] = sum(export.grades for export in written)
        closing["detail"] = (
            counted(len(written), "classeur écrit et relu", "classeurs écrits et relus")
            + f", {len(present) - len(due)} déjà à jour"
            + (f", {len(failed)} en échec" if failed else "")
            + (f", {outdated} dont des totaux attendent un recalcul par Moodle" if outdated else "")
        )


def exported(campaign: Campaign) -> dict[int, Export]:
    """The year's exports, by course id, as their manifest tells them: the files themselves are not looked at."""
    return _load(campaign).spaces


def missing_exports(campaign: Campaign) -> dict[int, str]:
    """The spaces that the run concerns and that have grades but no intact export of them, each with the reason."""
    exports = _load(campaign)
    with campaign.engine.connect() as connection:
        present = gradings(connection, campaign)
    faults = {
        courseid: _fault(campaign, exports.spaces.get(courseid), found)
        for courseid, found in present.items()
        if found.grades
    }
    return {courseid: fault for courseid, fault in faults.items() if fault}


def gradings(connection: sa.Connection, campaign: Campaign, courseid: int | None = None) -> dict[int, Gradings]:
    """The gradebooks that have items, by course id, of the spaces that the run concerns, or of that one only."""
    space, items, grades = tables.space_context, campaign.moodle["grade_items"], campaign.moodle["grade_grades"]
    wanted = [space.c.run == campaign.run, space.c.contextlevel == COURSE]
    if courseid is not None:
        wanted.append(space.c.courseid == courseid)
    at_items = space.join(items, items.c.courseid == space.c.courseid)

    def by_course(joined: sa.FromClause, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        query = sa.select(space.c.courseid, sa.func.count(), *columns).select_from(joined).where(*wanted)
        return query.group_by(space.c.courseid).prefix_with("STRAIGHT_JOIN")

    of_items = by_course(at_items, rows_checksum(items, without=_UNSTABLE), sa.func.sum(items.c.needsupdate != 0))
    of_grades = by_course(at_items.join(grades, grades.c.itemid == items.c.id), rows_checksum(grades)).where(
        is_given(grades)
    )
    given = {row[0]: (row[1], int(row[2])) for row in connection.execute(of_grades)}
    return {
        course: Gradings(
            items=number, outdated=int(outdated), grades=given.get(course, (0, 0))[0],
            fingerprint=f"{number}-{int(checksum):x}-{given.get(course, (0, 0))[0]}-{given.get(course, (0, 0))[1]:x}",
        )
        for course, number, checksum, outdated in connection.execute(of_items)
    }  # fmt: skip


def _is_due(campaign: Campaign, export: Export | None, found: Gradings) -> bool:
    return export is None or (found.grades > 0 and _fault(campaign, export, found) != "")


def _fault(campaign: Campaign, export: Export | None, found: Gradings) -> str:
    if export is None:
        return "des notes, et aucun export"
    path = storage.folder(campaign, "exports") / export.file
    if not path.exists():
        return f"l'export {export.file} est absent"
    if storage.sha256(path) != export.sha256:
        return f"l'export {export.file} a été altéré"
    if export.fingerprint != found.fingerprint:
        moment = export.exported_at.replace(tzinfo=UTC).astimezone(campaign.platform.zone)
        return f"notes modifiées depuis l'export du {moment:%d/%m/%Y à %H:%M}"
    return ""


def _export_all(campaign: Campaign, exports: Exports, due: Mapping[int, str]) -> set[int]:
    """Write the workbooks that are due and note each in ``exports``; returns the spaces that failed."""
    names, labels = (
        _file_names(campaign, exports),
        {rule.activity: rule.label for rule in load_rules() if rule.activity},
    )
    failed = set()
    storage.make_private(storage.folder(campaign, "exports"))
    try:
        for number, (courseid, code) in enumerate(due.items(), 1):
            path = storage.folder(campaign, "exports") / f"{names[courseid]}.xlsx"
            try:
                previous = exports.spaces.get(courseid)
                exports.spaces[courseid] = _export(campaign, _Due(courseid, code, path, previous), labels)
            except (ValueError, TypeError, LookupError, ArithmeticError) as error:
                failed.add(courseid)
                with campaign.engine.begin() as connection:
                    detail = f"export des notes impossible ({type(error).__name__}) : espace à examiner"
                    journal.record(connection, campaign, _STAGE, "failed", courseid=courseid, detail=detail)
                continue
            if number % _BETWEEN_SAVES == 0:
                _save(campaign, exports)
                _log.info("Export des notes : %d espaces sur %d", number, len(due))
    finally:
        if due:
            _save(campaign, exports)
    return failed


def _export(campaign: Campaign, due: _Due, labels: Mapping[str, str]) -> Export:
    """Write one workbook and read it back; raises :class:`ValueError` if it does not hold what was written."""
    moment = now()
    decimals = int(campaign.moodle.config.get("grade_export_decimalpoints", "2"))
    with campaign.engine.connect() as connection:
        consistent_snapshot(connection)
        found = gradings(connection, campaign, due.courseid)[due.courseid]
        book = Gradebook(connection, campaign.moodle, due.courseid, labels)
        rows = book.grades(book.people())
        content, *counts = workbook.build(book.items(), rows, int(moment.replace(tzinfo=UTC).timestamp()), decimals)
    path = due.path
    kept = _set_aside(path, due.previous, moment)
    storage.write(path, content)
    with path.open("rb") as file:
        if workbook.count(file) != tuple(counts):
            raise ValueError(path.name)
    return Export(
        code=due.code, file=path.name, sha256=storage.sha256(path), rows=counts[0], cells=counts[1],
        grades=found.grades, fingerprint=found.fingerprint, outdated=found.outdated, exported_at=moment, previous=kept,
    )  # fmt: skip


def _set_aside(path: UPath, previous: Export | None, moment: datetime) -> list[str]:
    """Give whatever lies at ``path`` a dated name of its own; returns the files of all earlier exports of the space."""

    def dated(date: datetime) -> UPath:
        return path.with_name(f"{path.stem}_{date:%Y%m%d-%H%M%S-%f}.xlsx")

    kept = list(previous.previous) if previous else []
    if previous and previous.file == path.name:
        replaced = dated(previous.exported_at)
        if path.exists() and not replaced.exists():
            path.rename(replaced)
        if replaced.exists():  # a run that was killed right after may have renamed it
            kept.append(replaced.name)
    elif previous:
        kept.append(previous.file)
    if path.exists():  # what a run wrote that was killed before it noted it
        kept.append(dated(moment).name)
        path.rename(dated(moment))
    return kept


def _file_names(campaign: Campaign, exports: Exports) -> dict[int, str]:
    """A file name for each course: its code, else its id; with the id behind, in brackets, where another course has it.

    Or had it: a code may pass from a space to another within the year, whose exports the manifest tells.
    """
    course = campaign.moodle["course"]
    with campaign.engine.connect() as connection:
        codes = connection.execute(sa.select(course.c.id, course.c.idnumber)).all()
    plain = {courseid: re.sub(r"[^\w.-]", "_", code or "").lstrip(".") or str(courseid) for courseid, code in codes}
    owners = defaultdict[str, set[int]](set)
    for courseid, name in plain.items():
        owners[f"{name}.xlsx".casefold()].add(courseid)
    for courseid, export in exports.spaces.items():
        for file in (export.file, *export.previous):
            owners[file.casefold()].add(courseid)
    return {
        courseid: name if owners[f"{name}.xlsx".casefold()] == {courseid} else f"{name} ({courseid})"
        for courseid, name in plain.items()
    }


def _load(campaign: Campaign) -> Exports:
    """The manifest of the exports, an empty one at first; raises :class:`TransitionError` if it is not this site's."""
    path, moodle = storage.folder(campaign, "exports") / _MANIFEST, campaign.moodle
    mine = Exports(
        platform=campaign.platform.name, site=moodle.site, site_identifier=moodle.config.get("siteidentifier", ""),
        year=campaign.year, spaces={},
    )  # fmt: skip
    if not path.exists():
        return mine
    try:
        found = Exports.model_validate_json(path.read_bytes())
    except ValidationError:
        raise TransitionError(f"{path} est illisible : déplacez-le, les exports seront refaits.") from None
    if found.model_copy(update={"spaces": {}}) != mine:
        raise TransitionError(
            f"{path} décrit les exports d'un autre site ({found.platform}, {found.site}, {found.year}) :"
            " vérifiez « storage » et la connexion de la plateforme."
        )
    return found


def _save(campaign: Campaign, exports: Exports) -> None:
    storage.write(storage.folder(campaign, "exports") / _MANIFEST, exports.model_dump_json(indent=1).encode())
