"""Stage ex_rename: spaces that left the curriculum model get the prefix ``ex_`` and move into Archives."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign, now
from transition.decisions import ARCHIVED_PREFIX, deciding_categories, still_excluded
from transition.enrolment.keep_teachers import keep_teachers
from transition.enrolment.tables import ex_change
from transition.errors import TransitionError
from transition.french import counted
from transition.moodle.categories import fix_sortorder, move_context
from transition.moodle.revisions import next_revision
from transition.state import tables

STAGE = "ex_rename"
ROOM = 10_000  # Moodle's get_max_courses_in_category: the ranks that a category has for its courses


@dataclass(frozen=True)
class _Names:
    fullname: str
    shortname: str


def ex_rename(campaign: Campaign) -> None:
    """Archive the spaces in scope whose decision is ``archive``: prefix, category, teachers enrolled by hand.

    What a space was before is kept in ``state.ex_change``. Visibility stays. One transaction a space: run again, only
    what is missing is done. A space that was excluded since the plan is skipped. One that fails is journalled and does
    not block the others; the stage then fails with a sentence that names them.
    """
    campaign.check_frozen()
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        todo = _spaces(campaign)
        archives = deciding_categories(campaign).archives
        target = archive_category(campaign, archives)
        failures: dict[str, Exception] = {}
        for courseid, code in todo:
            try:
                with campaign.engine.begin() as connection:
                    _archive(connection, campaign, courseid, archives, target)
            except (TransitionError, sa.exc.SQLAlchemyError) as error:
                failures[code] = error
                _journal_failure(campaign, courseid, error)
        closing["detail"] = counted(len(todo) - len(failures), "espace archivé", "espaces archivés")
        if failures:
            raise _failed(campaign, failures)


def _spaces(campaign: Campaign) -> list[tuple[int, str]]:
    """Spaces to archive: (course id, code); those excluded since the plan are journalled and left out."""
    decision = tables.decision.c
    query = sa.select(decision.courseid, decision.code).where(
        decision.run == campaign.run, decision.in_scope == sa.true(), decision.decision == "archive"
    )
    excluded = still_excluded(campaign)
    with campaign.engine.begin() as connection:
        found = list(connection.execute(query.order_by(decision.courseid)).all())
        for courseid, _ in found:
            if courseid in excluded:
                journal.record(connection, campaign, STAGE, "skipped", courseid=courseid, detail="exclu depuis le plan")
    return [(courseid, code) for courseid, code in found if courseid not in excluded]


def archive_category(campaign: Campaign, archives: int) -> int:
    """Id of « Archives <last year> » below Archives when it exists, else of Archives itself."""
    category = campaign.moodle["course_categories"]
    name = f"Archives {_last_year(campaign)}"
    below = sa.select(category.c.id).where(category.c.parent == archives, category.c.name == name)
    with campaign.engine.connect() as connection:
        return int(connection.execute(below.order_by(category.c.sortorder).limit(1)).scalar() or archives)


def _last_year(campaign: Campaign) -> str:
    return f"{campaign.year - 1}-{campaign.year}"


def _archive(connection: sa.Connection, campaign: Campaign, courseid: int, archives: int, target: int) -> None:
    course = campaign.moodle["course"]
    # The category's row first: two spaces never take the same rank.
    place = _locked(connection, campaign.moodle["course_categories"], target)
    before = _locked(connection, course, courseid)
    names = _new_names(connection, campaign, before)
    kept = keep_teachers(connection, campaign, courseid)
    moves = not _is_below(connection, campaign, before.category, archives)
    if not moves and names == _Names(before.fullname, before.shortname):
        return
    _remember(connection, campaign, before)
    moment = int(time.time())
    values = {"fullname": names.fullname, "shortname": names.shortname, "timemodified": moment}
    if moves:
        values |= {"category": target, "sortorder": place.sortorder + ROOM - 1}
    revision = next_revision(course, moment)
    connection.execute(sa.update(course).where(course.c.id == courseid).values(**values, cacherev=revision))
    if moves:
        move_context(connection, campaign.moodle, courseid, target)
        fix_sortorder(connection, campaign.moodle, (before.category, target), ROOM)
    detail = f"{before.shortname} devient {names.shortname}" + (
        f" ; {kept} enseignants inscrits à la main" if kept else ""
    )
    journal.record(connection, campaign, STAGE, "archived", courseid=courseid, table_name="course", detail=detail)


def _locked(connection: sa.Connection, table: sa.Table, rowid: int) -> sa.Row[tuple[object, ...]]:
    row = connection.execute(sa.select(table).where(table.c.id == rowid).with_for_update()).one_or_none()
    if row is None:
        raise TransitionError(
            f"La ligne {rowid} de {table.name} a disparu depuis le plan : lancez une nouvelle exécution."
        )
    return row


def _is_below(connection: sa.Connection, campaign: Campaign, categoryid: int, archives: int) -> bool:
    category = campaign.moodle["course_categories"]
    path = connection.execute(sa.select(category.c.path).where(category.c.id == categoryid)).scalar() or ""
    return str(archives) in path.split("/")


def _new_names(connection: sa.Connection, campaign: Campaign, before: sa.Row[tuple[object, ...]]) -> _Names:
    """The names with their prefix, cut at the columns' length; a shortname already taken gets the year behind it."""
    room = _lengths(connection, campaign)
    fullname = prefixed(before.fullname)[: room["fullname"]]
    shortname = prefixed(before.shortname)
    year = _last_year(campaign)
    suffixes = ["", f" ({year})", *(f" ({year}, {n})" for n in range(2, 100))]
    course = campaign.moodle["course"]
    for suffix in suffixes:
        candidate = shortname[: room["shortname"] - len(suffix)] + suffix
        other = sa.select(course.c.id).where(course.c.shortname == candidate, course.c.id != before.id)
        if connection.execute(other.limit(1)).first() is None:
            return _Names(fullname, candidate)
    raise TransitionError(
        f"Le nom abrégé {shortname} est déjà pris par {len(suffixes)} espaces : renommez-les dans Moodle."
    )


def prefixed(name: str) -> str:
    """A space's name as an archived space bears it, uncut."""
    return name if name.startswith(ARCHIVED_PREFIX) else ARCHIVED_PREFIX + name


def _lengths(connection: sa.Connection, campaign: Campaign) -> dict[str, int]:
    """Longest fullname and shortname that the columns of ``course`` hold, in characters."""
    query = sa.text(
        "SELECT column_name, character_maximum_length FROM information_schema.columns"
        " WHERE table_schema = :schema AND table_name = :name AND column_name IN ('fullname', 'shortname')"
    )
    where = {"schema": campaign.moodle.schema, "name": campaign.moodle["course"].name}
    return {str(name): int(length) for name, length in connection.execute(query, where)}


def _remember(connection: sa.Connection, campaign: Campaign, before: sa.Row[tuple[object, ...]]) -> None:
    """Keep what the space was; of two attempts the first one saw it."""
    values = {
        name: getattr(before, name) for name in ("fullname", "shortname", "category", "sortorder", "timemodified")
    }
    connection.execute(
        sa.insert(ex_change)
        .prefix_with("IGNORE")
        .values(year=campaign.year, courseid=before.id, run=campaign.run, at=now(), **values)
    )


def _journal_failure(campaign: Campaign, courseid: int, error: Exception) -> None:
    detail = str(error) if isinstance(error, TransitionError) else type(error).__name__
    with campaign.engine.begin() as connection:
        journal.record(connection, campaign, STAGE, "failed", courseid=courseid, detail=detail)


def _failed(campaign: Campaign, failures: dict[str, Exception]) -> Exception:
    """A refusal when each space was refused; a fault, which is worth another try, when the database failed one."""
    reasons = [str(e) if isinstance(e, TransitionError) else type(e).__name__ for e in failures.values()]
    lines = [f"  - {code} : {reason}" for code, reason in zip(failures, reasons, strict=True)]
    sentence = "\n".join([f"Espaces non archivés ({campaign.platform.label}), relancez l'étape ex_rename :", *lines])
    if all(isinstance(error, TransitionError) for error in failures.values()):
        return TransitionError(sentence)
    return RuntimeError(sentence)
