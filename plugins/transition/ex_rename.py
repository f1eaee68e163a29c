"""Stage ex_rename: spaces that left the curriculum model go into Archives, those that come back leave it."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.decisions import still_excluded
from transition.enrolment.keep_teachers import keep_teachers
from transition.errors import TransitionError
from transition.ex_changes import NAMES, remember
from transition.ex_links import disable, filling_links
from transition.ex_names import ARCHIVED_PREFIX, idnumbers, last_year, prefixed, shortnames, year_category
from transition.ex_return import bring_back, coming_back
from transition.french import counted
from transition.moodle.categories import ROOM, create_category, fix_sortorder, move_context
from transition.moodle.revisions import next_revision
from transition.spaces import deciding_categories
from transition.state import tables

STAGE = "ex_rename"
Spaces = list[tuple[int, str]]  # course id, code


def ex_rename(campaign: Campaign) -> None:
    """Archive the spaces in scope whose decision is ``archive``: prefix, category, teachers enrolled by hand.

    They go to « Archives <last year> » below Archives, created if it is missing; cohorts that the campaign fills for
    other spaces enrol nobody there any more. Spaces in scope that an earlier campaign archived, or a stopped run of
    this one, and that are to be reset get their name, category and cohorts back. What a space was before is kept in
    ``state.ex_change`` and ``ex_link``. Visibility stays. One transaction a space: run again, only what is missing is
    done. A space that was excluded since the plan is skipped. One that fails is journalled and does not block the
    others; the stage then fails with a sentence that names them.
    """
    campaign.check_frozen()
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        archived, returned = _still_in(campaign, _to_archive(campaign)), _still_in(campaign, coming_back(campaign))
        archives = deciding_categories(campaign).archives
        target = _archive_category(campaign, archives) if archived else archives

        def archive(connection: sa.Connection, courseid: int) -> None:
            _archive(connection, campaign, courseid, archives, target)

        def take_out(connection: sa.Connection, courseid: int) -> None:
            bring_back(connection, campaign, STAGE, courseid)

        failures = _each(campaign, archived, archive)
        closing["detail"] = counted(len(archived) - len(failures), "espace archivé", "espaces archivés")
        if returned:
            failed = _each(campaign, returned, take_out)
            closing["detail"] += (
                f", {counted(len(returned) - len(failed), 'espace sorti', 'espaces sortis')} des Archives"
            )
            failures |= failed
        if failures:
            raise _failed(campaign, failures)


def _to_archive(campaign: Campaign) -> Spaces:
    decision = tables.decision.c
    query = sa.select(decision.courseid, decision.code).where(
        decision.run == campaign.run, decision.in_scope == sa.true(), decision.decision == "archive"
    )
    with campaign.engine.connect() as connection:
        return [(courseid, code) for courseid, code in connection.execute(query.order_by(decision.courseid))]


def _still_in(campaign: Campaign, spaces: Spaces) -> Spaces:
    """Those that were not excluded since the plan; the others are journalled."""
    excluded = still_excluded(campaign) if spaces else set()
    with campaign.engine.begin() as connection:
        for courseid, _ in spaces:
            if courseid in excluded:
                journal.record(connection, campaign, STAGE, "skipped", courseid=courseid, detail="exclu depuis le plan")
    return [(courseid, code) for courseid, code in spaces if courseid not in excluded]


def _each(
    campaign: Campaign, spaces: Spaces, change: Callable[[sa.Connection, int], None]
) -> dict[str, Exception]:  # fmt: skip
    """Change some spaces, each in its own transaction; returns what failed, by code."""
    failures: dict[str, Exception] = {}
    for courseid, code in spaces:
        try:
            with campaign.engine.begin() as connection:
                change(connection, courseid)
        except (TransitionError, sa.exc.SQLAlchemyError) as error:
            failures[code] = error
            _journal_failure(campaign, courseid, error)
    return failures


def _archive_category(campaign: Campaign, archives: int) -> int:
    """Id of « Archives <last year> » below Archives, which is created where it is missing, once."""
    category = campaign.moodle["course_categories"]
    name = year_category(campaign.year)
    below = sa.select(category.c.id).where(category.c.parent == archives, category.c.name == name)
    with campaign.engine.begin() as connection:
        if found := connection.execute(below.order_by(category.c.sortorder).limit(1)).scalar():
            return int(found)
        made = create_category(connection, campaign.moodle, name, archives)
        journal.record(
            connection, campaign, STAGE, "created", table_name="course_categories",
            detail=f"catégorie « {name} » ({made}) créée",
        )  # fmt: skip
        return made


def _archive(connection: sa.Connection, campaign: Campaign, courseid: int, archives: int, target: int) -> None:
    course = campaign.moodle["course"]
    # The category's row first: two spaces never take the same rank.
    place = _locked(connection, campaign.moodle["course_categories"], target)
    before = _locked(connection, course, courseid)
    names = _new_names(connection, campaign, before)
    links = filling_links(connection, campaign, courseid)
    kept = keep_teachers(connection, campaign, courseid, links)
    moves = not _is_below(connection, campaign, before.category, archives)
    if not moves and all(getattr(before, name) == names[name] for name in NAMES):
        return
    remember(connection, campaign, before, {**names, "visible": before.visible})
    disable(connection, campaign, courseid, links)
    moment = int(time.time())
    values: dict[str, Any] = {**names, "timemodified": moment}
    if moves:
        values |= {"category": target, "sortorder": place.sortorder + ROOM - 1}
    revision = next_revision(course, moment)
    connection.execute(sa.update(course).where(course.c.id == courseid).values(**values, cacherev=revision))
    if moves:
        move_context(connection, campaign.moodle, courseid, target)
        fix_sortorder(connection, campaign.moodle, (before.category, target), ROOM)
    detail = f"{before.shortname} devient {names['shortname']}" + (
        f" ; {counted(kept, 'enseignant inscrit', 'enseignants inscrits')} à la main" if kept else ""
    )
    if links:
        detail += (
            f" ; {counted(len(links), 'inscription par cohorte désactivée', 'inscriptions par cohorte désactivées')}"
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


def _new_names(connection: sa.Connection, campaign: Campaign, before: sa.Row[*tuple[Any, ...]]) -> dict[str, str]:
    """The names with their prefix; a shortname already taken gets the year behind it.

    The identification number stays, unless the platform keeps it ``apart``.
    """
    room = _lengths(connection, campaign)
    wanted = shortnames(before.shortname, last_year(campaign.year), room["shortname"])
    names = {
        "fullname": prefixed(before.fullname, room["fullname"]),
        "shortname": _free(connection, campaign, before.id, "shortname", wanted),
        "idnumber": before.idnumber,
    }
    if campaign.platform.archived_idnumber == "apart" and not before.idnumber.startswith(ARCHIVED_PREFIX):
        apart = idnumbers(before.idnumber, campaign.year - 1, room["idnumber"])
        names["idnumber"] = _free(connection, campaign, before.id, "idnumber", apart)
    return names


def _free(
    connection: sa.Connection, campaign: Campaign, courseid: int, name: str, candidates: Iterable[str]
) -> str:  # fmt: skip
    """The first of some values that no other space has in that column, compared as Moodle does."""
    course, tried = campaign.moodle["course"], ""
    for candidate in candidates:
        tried = tried or candidate
        other = sa.select(course.c.id).where(course.c[name] == candidate, course.c.id != courseid)
        if connection.execute(other.limit(1)).first() is None:
            return candidate
    raise TransitionError(
        f"« {tried} » et les noms qui lui ressemblent sont déjà pris ({name} de {course.name}) : renommez ces espaces"
        " dans Moodle."
    )


def _lengths(connection: sa.Connection, campaign: Campaign) -> dict[str, int]:
    """The longest names that the columns of ``course`` hold, in characters."""
    query = sa.text(
        "SELECT column_name, character_maximum_length FROM information_schema.columns"
        " WHERE table_schema = :schema AND table_name = :name AND column_name IN ('fullname', 'shortname', 'idnumber')"
    )
    where = {"schema": campaign.moodle.schema, "name": campaign.moodle["course"].name}
    return {str(name): int(length) for name, length in connection.execute(query, where)}


def _journal_failure(campaign: Campaign, courseid: int, error: Exception) -> None:
    detail = str(error) if isinstance(error, TransitionError) else type(error).__name__
    with campaign.engine.begin() as connection:
        journal.record(connection, campaign, STAGE, "failed", courseid=courseid, detail=detail)


def _failed(campaign: Campaign, failures: dict[str, Exception]) -> Exception:
    """A refusal when each space was refused; a fault, which is worth another try, when the database failed one."""
    reasons = [str(e) if isinstance(e, TransitionError) else type(e).__name__ for e in failures.values()]
    lines = [f"  - {code} : {reason}" for code, reason in zip(failures, reasons, strict=True)]
    intro = f"Espaces non archivés ou non sortis des Archives ({campaign.platform.label}), relancez l'étape ex_rename :"
    sentence = "\n".join([intro, *lines])
    if all(isinstance(error, TransitionError) for error in failures.values()):
        return TransitionError(sentence)
    return RuntimeError(sentence)
