"""The pads of the activities Etherpad: which they are, saved, emptied, checked.

A pad lives on the Etherpad server; Moodle knows its id only: ``etherpadlite.uri``, followed by the group's id for the
pad of a group (``etherpadlite_mgroups``). To empty one is to delete it, with its revisions and its chat, and to create
it again under the same id: a pad whose text alone is erased still shows every sentence, and who wrote it, in the time
slider.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from upath import UPath

from transition import journal, storage
from transition.campaign import Campaign, now
from transition.errors import TransitionError, UnreachableError
from transition.etherpad.client import AbsentError, Content, Etherpad, PadError
from transition.french import counted
from transition.state import tables
from transition.state.tables import pad as pad_table

RULE, TABLE = "etherpadlite", "pads"
_GIVE_UP = 3  # pads in a row without an answer: the server is away, and each costs minutes of waiting
_log = logging.getLogger(__name__)


def check_server(campaign: Campaign) -> Iterator[str]:
    """For preflight: the declared server answers and takes the key."""
    if campaign.etherpad:
        try:
            campaign.etherpad.check()
        except UnreachableError as error:
            yield str(error)


def record(campaign: Campaign) -> None:
    """Write down the pads of the spaces in scope (state table ``pad``); those already there keep their state.

    With a server, the other pads of an activity's own pad group are found too: those of groups deleted since.
    """
    with campaign.engine.begin() as connection:
        found = {padid: (courseid, activity) for courseid, activity, padid in _known(connection, campaign)}
        for courseid, activity, padid in [(*place, padid) for padid, place in found.items()]:
            for other in _siblings(campaign, padid):
                found.setdefault(other, (courseid, activity))
        mine = pad_table.c.run == campaign.run
        connection.execute(sa.delete(pad_table).where(mine, pad_table.c.padid.not_in(found)))
        there = set(connection.execute(sa.select(pad_table.c.padid).where(mine)).scalars())
        unfinished = _unfinished(connection, campaign)
        rows = [
            {"run": campaign.run, "padid": padid, "courseid": courseid, "activity": activity,
             **unfinished.get(padid, {"saved": None, "public": False})}
            for padid, (courseid, activity) in found.items()
            if padid not in there
        ]  # fmt: skip
        if rows:
            connection.execute(sa.insert(pad_table), rows)


def planned(campaign: Campaign) -> dict[int, int]:
    """Number of pads by course id, in the spaces in scope."""
    query = sa.select(pad_table.c.courseid, sa.func.count()).select_from(_in_scope()).where(_of(campaign))
    with campaign.engine.connect() as connection:
        return dict(connection.execute(query.group_by(pad_table.c.courseid)).all())


def sentence(campaign: Campaign) -> str:
    """What the plan says of the pads, '' if there are none."""
    counts = planned(campaign)
    if not counts:
        return ""
    number = sum(counts.values())
    how_many = f"Etherpad : {counted(number, 'pad', 'pads')} dans {counted(len(counts), 'espace', 'espaces')}"
    if campaign.platform.connections.etherpad:
        return f"{how_many}, à sauvegarder puis à vider sur le serveur Etherpad."
    return f"{how_many}, dont le contenu reste : pas de serveur déclaré (connections.etherpad)."


def empty(campaign: Campaign) -> int:
    """Save, then empty, every pad of the spaces in scope; returns how many are empty now.

    Does nothing twice: a pad emptied by the run is never read again, whatever is written in it since. A pad that fails
    is journalled and does not stop the others; raises :class:`UnreachableError` at the end, for another try.
    """
    query = (
        sa.select(pad_table, tables.decision.c.code)
        .select_from(_in_scope()).where(_of(campaign)).order_by(pad_table.c.courseid, pad_table.c.padid)
    )  # fmt: skip
    with campaign.engine.connect() as connection:
        pads = connection.execute(query).all()
    if not pads:
        return 0
    if campaign.etherpad is None:
        with campaign.engine.begin() as connection:
            journal.record(connection, campaign, "purge", "skipped", rule=RULE, table_name=TABLE, rows_before=len(pads),
                           rows_moved=0, rows_after=len(pads), detail=sentence(campaign))  # fmt: skip
        return 0
    failures = _empty_all(campaign, campaign.etherpad, [pad for pad in pads if pad.emptied_at is None])
    _journal(campaign, failures)
    if failures:
        raise UnreachableError(
            f"Pads qui n'ont pas pu être vidés : {sum(map(len, failures.values()))} sur {len(pads)} (le journal de la"
            " campagne les nomme) : vérifiez le serveur Etherpad, puis relancez cette tâche ; elle ne reprend qu'eux."
        )
    return len(pads)


def left(campaign: Campaign) -> Iterator[str]:
    """For verify: one French sentence for each space whose pads are not all emptied, journalled, and empty."""
    if campaign.etherpad is None:
        return
    entry = tables.journal.c
    with campaign.engine.connect() as connection:
        query = sa.select(entry.courseid, entry.rows_moved).where(
            entry.run == campaign.run, entry.rule == RULE, entry.action == "emptied"
        )
        journalled = dict(connection.execute(query).all())
        pads = connection.execute(
            sa.select(pad_table.c.courseid, pad_table.c.padid).select_from(_in_scope()).where(_of(campaign))
        ).all()
    counts = planned(campaign)
    for courseid in sorted(counts.keys() | journalled.keys()):
        if counts.get(courseid) != journalled.get(courseid):
            yield (
                f"espace {courseid} : {counts.get(courseid, 0)} pads prévus, {journalled.get(courseid, 0)} vidés"
                " d'après le journal"
            )
    for courseid, padid in pads:
        try:
            if not campaign.etherpad.content(padid).empty:
                yield f"espace {courseid} : le pad {padid} n'est pas vide"
        except AbsentError:
            continue
        except PadError as error:
            yield f"espace {courseid} : le pad {padid} ne peut pas être relu, {error}"


def _in_scope() -> sa.FromClause:
    decision = tables.decision
    here = sa.and_(decision.c.run == pad_table.c.run, decision.c.courseid == pad_table.c.courseid)
    return pad_table.join(decision, sa.and_(here, decision.c.in_scope == sa.true()))


def _of(campaign: Campaign) -> sa.ColumnElement[bool]:
    return pad_table.c.run == campaign.run


def _known(connection: sa.Connection, campaign: Campaign) -> Iterator[tuple[int, int, str]]:
    """The pads that Moodle's tables name: course id, activity's id, pad id."""
    moodle, decision = campaign.moodle, tables.decision
    if "etherpadlite" not in moodle:
        return
    own = moodle["etherpadlite"]
    joined: sa.FromClause = decision.join(own, own.c.course == decision.c.courseid)
    here = sa.and_(decision.c.run == campaign.run, decision.c.in_scope == sa.true(), own.c.uri != "")
    ids = sa.select(own.c.course, own.c.id, own.c.uri).select_from(joined).where(here)
    yield from ((courseid, activity, padid) for courseid, activity, padid in connection.execute(ids))
    if "etherpadlite_mgroups" in moodle:  # since 2022 the module has a pad for each group
        groups = moodle["etherpadlite_mgroups"]
        joined = joined.join(groups, groups.c.padid == own.c.id)
        of_groups = sa.select(own.c.course, own.c.id, own.c.uri, groups.c.groupid).select_from(joined).where(here)
        for courseid, activity, uri, groupid in connection.execute(of_groups):
            yield courseid, activity, f"{uri}{groupid}"


def _siblings(campaign: Campaign, padid: str) -> Sequence[str]:
    """All pads of a pad's group on the server: the module makes one group an activity."""
    group = padid.rpartition("$")[0]
    if campaign.etherpad is None or not group:
        return ()
    try:
        return campaign.etherpad.pads(group)
    except AbsentError:
        return ()


def _unfinished(connection: sa.Connection, campaign: Campaign) -> dict[str, dict[str, Any]]:
    """Pads that an earlier run of the year saved and perhaps deleted, without creating them again."""
    run = tables.run
    query = (
        sa.select(pad_table.c.padid, pad_table.c.saved, pad_table.c.public)
        .select_from(pad_table.join(run, run.c.number == pad_table.c.run))
        .where(run.c.year == campaign.year, pad_table.c.saved.is_not(None), pad_table.c.emptied_at.is_(None))
        .order_by(pad_table.c.run)
    )
    return {row.padid: {"saved": row.saved, "public": row.public} for row in connection.execute(query)}


def _empty_all(campaign: Campaign, server: Etherpad, pads: Sequence[sa.Row[Any]]) -> dict[int, list[str]]:
    """Empty those pads; returns what failed: sentences by course id."""
    failures: dict[int, list[str]] = {}
    silent = 0
    for number, pad in enumerate(pads, 1):
        try:
            _empty_one(campaign, server, pad)
        except (PadError, UnreachableError, OSError) as error:
            # An OSError is the storage's: the pad stays as it is.
            reason = storage.fault(error) if isinstance(error, OSError) else str(error)
            failures.setdefault(pad.courseid, []).append(f"pad {pad.padid} : {reason}")
            _log.warning("Pad %s : %s", pad.padid, reason)
            silent = silent + 1 if isinstance(error, UnreachableError) else 0
            if silent == _GIVE_UP and number < len(pads):
                for other in pads[number:]:
                    failures.setdefault(other.courseid, []).append(f"pad {other.padid} : non tenté")
                return failures
        else:
            silent = 0
        if number % 100 == 0:
            _log.info("Etherpad : %d pads traités sur %d", number, len(pads))
    return failures


def _empty_one(campaign: Campaign, server: Etherpad, pad: sa.Row[Any]) -> None:
    saved, public = pad.saved, pad.public
    try:
        content = server.content(pad.padid)
    except AbsentError:
        pass  # never created, nothing to empty; or saved, deleted, and not yet created again
    else:
        if not content.empty:
            saved, public = _save(campaign, pad, content), content.public
            _mark(campaign, pad.padid, saved=saved, public=public)
            if server.revisions(pad.padid) != content.revisions:
                raise PadError("quelqu'un y écrit en ce moment : mettez Moodle en maintenance")
            server.delete(pad.padid)
    if saved:
        server.create(pad.padid, public=public)
        if not server.content(pad.padid).empty:
            raise PadError("il n'est pas vide après avoir été vidé : quelqu'un y écrit, ou le serveur le remplit")
    _mark(campaign, pad.padid, emptied_at=now())


def _save(campaign: Campaign, pad: sa.Row[Any], content: Content) -> str:
    """Write a pad's content and read it back; returns its folder, below that of the platform's year.

    The folder bears the content's digest: what was saved once is never overwritten by something else.
    """
    files = {
        "texte.txt": content.text.encode(),
        "page.html": content.html.encode(),
        "conversation.json": json.dumps(content.chat, ensure_ascii=False, indent=1).encode(),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    facts = {
        "pad": pad.padid, "espace": pad.code, "courseid": pad.courseid, "etherpadlite": pad.activity,
        "revisions": content.revisions, "public": content.public, "sha256": digests,
    }  # fmt: skip
    files["pad.json"] = json.dumps(facts, ensure_ascii=False, indent=1).encode()
    digest = hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:16]
    space = f"{pad.courseid}-{quote(pad.code, safe='')}".rstrip("-")
    folder: UPath = storage.folder(campaign, "pads") / space / quote(pad.padid, safe="$") / digest
    storage.make_private(folder)
    for name, data in files.items():
        storage.write(folder / name, data)
        if storage.sha256(folder / name) != hashlib.sha256(data).hexdigest():
            raise TransitionError(
                f"La sauvegarde du pad {pad.padid} ne se relit pas à l'identique ({folder}) : vérifiez le stockage,"
                " puis relancez cette tâche ; le pad n'a pas été touché."
            )
    return f"pads/{space}/{folder.parent.name}/{digest}"


def _mark(campaign: Campaign, padid: str, **values: Any) -> None:
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(pad_table).where(_of(campaign), pad_table.c.padid == padid).values(**values))


def _journal(campaign: Campaign, failures: dict[int, list[str]]) -> None:
    """Journal, once, each space whose pads are all emptied; each time, those that failed."""
    entry = tables.journal.c
    query = sa.select(pad_table.c.courseid, sa.func.count()).select_from(_in_scope()).where(_of(campaign))
    known = sa.select(entry.courseid).where(entry.run == campaign.run, entry.rule == RULE, entry.action == "emptied")
    with campaign.engine.begin() as connection:
        done = set(connection.execute(known).scalars())
        for courseid, count in connection.execute(query.group_by(pad_table.c.courseid)).all():
            where = {"rule": RULE, "table_name": TABLE, "courseid": courseid, "rows_before": count}
            if courseid in failures:
                bad = len(failures[courseid])
                journal.record(connection, campaign, "purge", "left", **where, rows_moved=count - bad, rows_after=bad,
                               detail=" ; ".join(failures[courseid]))  # fmt: skip
            elif courseid not in done:
                journal.record(connection, campaign, "purge", "emptied", **where, rows_moved=count, rows_after=0)
