"""The way of a table almost all of whose rows go: what stays is copied, and the two tables change places.

Moodle's table becomes the archive's, by one atomic RENAME: the time depends on what stays, not on what goes.
The archive then also holds a copy of the rows that stayed; the keys (:mod:`transition.keys`) tell them apart.

A swap goes through the states of ``state.way``: '' → ``begun`` (what stays is being copied) → ``ready`` (copied and
checked, the RENAME is next) → ``done``. Moodle has its own table until the RENAME, and the new one after it. Killed
before the RENAME, a swap starts anew: Moodle may have been open meanwhile, and what was copied may be out of date.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa

from transition import journal
from transition.archive_indexes import shed_indexes
from transition.campaign import Campaign
from transition.checksum import rows_checksum
from transition.errors import TransitionError
from transition.kept_rows import drop_named_copies, kept_checksum
from transition.key_views import is_view, point, spaces_column, spaces_table
from transition.keys import count_keys, frozen_keys
from transition.moodle.database import index_definitions, last_id, quoted, table_like, unique_keys
from transition.room import check_room
from transition.state import tables

COPY = 20_000  # kept rows a transaction
# One kept row in so many is copied once the pages of the primary key, or of the other indexes, are full of the others:
# it splits them. Else what comes later, from Moodle or a restore, has to split and compress each page anew, while
# somebody waits. A page of the primary key holds about 100 rows of the log; one of the others, 500.
ROW_SPLITTER, INDEX_SPLITTER = 40, 200
# Tables in whose rows Moodle never writes again: to read those that stay once more would take as long as their copy.
_APPENDED = frozenset({"logstore_standard_log"})
_ROUNDS = 10  # of catching up with a Moodle that still writes
# Ids that nobody gets. What Moodle writes between the check and the RENAME has the next ids of the old table, and is
# put into the new one after it: what Moodle writes there meanwhile must have others.
SKIPPED_IDS = 100_000
_PATIENCE = 6 * 3600


def swap_table(campaign: Campaign, name: str) -> None:
    """Swap a table into the archive; does nothing twice, and goes on after a kill at any point.

    Journals what was moved of each space for every rule of the table. Raises :class:`TransitionError`, with Moodle's
    table in its place, if Moodle is not in maintenance mode, the disk is too full, the counts do not agree, rows that
    stay changed meanwhile, or the run loses its fence.
    """
    # Another rule of the table may be swapping it: its work is this one's too.
    with campaign.lock(f"swap:{name}", seconds=_PATIENCE):
        _Swap(campaign, name).run()


def settle_swaps(campaign: Campaign) -> None:
    """End what stopped runs of any year left of their swaps: those past the RENAME are finished, the others dropped."""
    way, run = tables.way.c, tables.run.c
    query = (
        sa.select(run.year, way.run, way.table_name)
        .join(tables.run, run.number == way.run)
        .where(way.run != campaign.run, way.state.in_(("begun", "ready")))
    )
    with campaign.engine.connect() as connection:
        left = list(connection.execute(query).all())
    for year, number, name in left:
        with campaign.lock(f"swap:{name}"):
            _Swap(replace(campaign, year=year), name, number).settle()


class _Swap:
    """A swap of one table by one run (the campaign's, unless ``number`` names an earlier one)."""

    def __init__(self, campaign: Campaign, name: str, number: int | None = None) -> None:
        self.campaign, self.name, self.number = campaign, name, number or campaign.run
        self.source, self.keys = campaign.moodle[name], frozen_keys(campaign, name)
        schema = campaign.archive_schema
        self.archive = table_like(self.source, schema)
        self.new = self.archive.to_metadata(sa.MetaData(), name=f"swap_{self.source.name}")
        self.kept = sa.Table(
            f"kept_{name}", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), schema=schema
        )
        self.mine = sa.and_(tables.way.c.run == self.number, tables.way.c.table_name == name)

    def run(self) -> None:
        state = self._load().state
        if state != "done":
            if not self._is_renamed(state):
                self.campaign.check_closed()
                self._begin()
                splits_rows, splits_indexes = self._one_in(ROW_SPLITTER), self._one_in(INDEX_SPLITTER)
                self._copy(~splits_rows & ~splits_indexes)
                self._copy(splits_rows & ~splits_indexes)
                self._index()
                self._copy(splits_indexes)
                self._catch_up()
                self._check()
                self._rename()
            self._finish()
        with self.campaign.engine.connect() as connection:
            shed_indexes(connection, self.campaign, self.name)
            self._drop(connection, self.kept)

    def settle(self) -> None:
        if self._is_renamed(self._load().state):
            self.run()
            return
        with self.campaign.engine.connect() as connection:
            # First: killed once the new table is dropped, a swap that is ready would look like one past its RENAME.
            self._set(connection, state="begun")
            connection.commit()
            # An older year's archive schema may be gone: MySQL refuses to drop a table of no schema.
            self._drop(connection, *(table for table in (self.new, self.kept) if self._exists(table)))
            if is_view(connection, self.keys):
                connection.execute(sa.text(f"DROP VIEW {quoted(self.keys)}"))
            self._set(connection, state="dropped")
            connection.commit()

    def _is_renamed(self, state: str) -> bool:
        """Whether the RENAME is done: it alone takes the new table away and makes the archive's, at once."""
        return state == "ready" and self._exists(self.archive) and not self._exists(self.new)

    def _begin(self) -> None:
        """Make the list of what stays and an empty table like Moodle's."""
        with self.campaign.engine.connect() as connection:
            self._set(connection, state="begun")
            connection.commit()
            self._drop(connection, self.new, self.kept)
            if self._exists(self.archive):  # made by an earlier run that moved nothing
                if connection.execute(sa.select(self.archive.c.id).limit(1)).first():
                    raise TransitionError(
                        f"La table d'archive {self.archive.schema}.{self.archive.name} a déjà des lignes : elles ne"
                        " peuvent pas être remplacées ; relancez une exécution, qui déplacera par lots."
                    )
                self._drop(connection, self.archive)
            connection.execute(sa.text(f"CREATE TABLE {quoted(self.kept)} (id BIGINT NOT NULL PRIMARY KEY)"))
            max_id = last_id(connection, self.source)
            connection.commit()
            self._list_kept(connection, max_id)
            check_room(connection, self.campaign, self.source, self.kept)
            connection.execute(sa.text(f"CREATE TABLE {quoted(self.new)} LIKE {quoted(self.source)}"))
            self._same_row_format(connection)
            if indexes := self._indexes(connection):
                dropped = ", ".join(f"DROP INDEX {name}" for name in indexes)
                connection.execute(sa.text(f"ALTER TABLE {quoted(self.new)} {dropped}"))
            self._set(connection, max_id=max_id)
            connection.commit()

    def _definition(self, connection: sa.Connection, table: sa.Table) -> str:
        """Columns, indexes and options as the server tells them; not the next id, nor the row format."""
        text = connection.execute(sa.text(f"SHOW CREATE TABLE {quoted(table)}")).one()[1].partition("\n")[2]
        return re.sub(r" (AUTO_INCREMENT|ROW_FORMAT)=\w+", "", text)

    def _indexes(self, connection: sa.Connection) -> dict[str, str]:
        """The source's indexes besides its primary key: quoted name to definition."""
        return index_definitions(self._definition(connection, self.source))

    def _index(self) -> None:
        """Make the indexes once most rows are there: a fraction of what they cost row by row; compare."""
        with self.campaign.engine.connect() as connection:
            if indexes := self._indexes(connection):
                added = ", ".join(f"ADD {definition}" for definition in indexes.values())
                connection.execute(sa.text(f"ALTER TABLE {quoted(self.new)} {added}"))
            if self._definition(connection, self.new) != self._definition(connection, self.source):
                raise TransitionError(
                    f"Le serveur n'a pas su copier la définition de {self.source.name} (jeu de caractères, commentaire,"
                    " index ou moteur) : signalez-le ; pour que tout passe par lots, retirez au compte le droit ALTER"
                    " sur la base de Moodle, puis lancez une nouvelle exécution."
                )

    def _list_kept(self, connection: sa.Connection, max_id: int) -> None:
        """The ids that stay: by the courses that stay, where courses say it all; else whatever has no key."""
        id_ = self.source.c.id
        if not self._by_spaces(connection):
            gone = sa.and_(self.keys.c.run == self.number, self.keys.c.id == id_)
            ids = (
                sa.select(id_)
                .select_from(self.source.outerjoin(self.keys, gone))
                .where(self.keys.c.id.is_(None), id_ <= max_id)
            )
            connection.execute(sa.insert(self.kept).from_select(["id"], ids))
            connection.commit()
            return
        spaces = spaces_table(self.campaign)
        column = self.source.c[spaces_column(connection, self.campaign, self.name)]
        mine = sa.and_(spaces.c.run == self.number, spaces.c.table_name == self.name)
        going = set(connection.execute(sa.select(spaces.c.courseid).where(mine)).scalars())
        frozen = connection.execute(sa.select(sa.func.max(spaces.c.max_id)).where(mine)).scalar_one()
        for course in connection.execute(sa.select(column).distinct()).scalars().all():
            # What Moodle wrote in a space after the freeze is not of last year: it stays.
            late = [id_ > frozen] if course in going else []
            ids = sa.select(id_).where(column.is_(None) if course is None else column == course, id_ <= max_id, *late)
            connection.execute(sa.insert(self.kept).from_select(["id"], ids))
            connection.commit()

    def _one_in(self, number: int) -> sa.ColumnElement[bool]:
        """Of the rows that stay, one in so many, spread over all pages whatever a space's ids have in common."""
        return sa.func.mod(sa.func.crc32(self.kept.c.id), number) == 0

    def _copy(self, which: sa.ColumnElement[bool], after: int = 0) -> None:
        """Copy, of the rows that stay, those that are asked for, in the order of the primary key, after an id."""
        while upper := self._copy_chunk(which, after):
            after = upper

    def _catch_up(self) -> None:
        """Copy what Moodle wrote since the rows that stay were listed, until there is no more."""
        known = self._load().max_id
        for _ in range(_ROUNDS):
            with self.campaign.engine.begin() as connection:
                end = last_id(connection, self.source)
                if end <= known:
                    return
                late = sa.select(self.source.c.id).where(self.source.c.id > known, self.source.c.id <= end)
                connection.execute(sa.insert(self.kept).from_select(["id"], late))
                self._set(connection, max_id=end)
            self._copy(sa.true(), known)
            known = end
        raise TransitionError(
            f"Moodle écrit sans cesse dans {self.source.name} malgré la maintenance : arrêtez son cron et ses"
            " serveurs, puis relancez cette tâche."
        )

    def _copy_chunk(self, which: sa.ColumnElement[bool], last: int) -> int:
        """Copy such rows after an id, in one transaction; returns the last id copied, 0 if there was none."""
        self.campaign.check_fence()
        kept, source = self.kept, self.source
        with self.campaign.engine.begin() as connection:
            ids = sa.select(kept.c.id).where(kept.c.id > last, which).order_by(kept.c.id).limit(COPY).subquery()
            upper = connection.execute(sa.select(sa.func.max(ids.c.id))).scalar()
            if upper is None:
                return 0
            rows = (
                sa.select(*source.c)
                .select_from(kept.join(source, source.c.id == kept.c.id))
                .where(kept.c.id > last, kept.c.id <= upper, which)
                .order_by(kept.c.id)
                .prefix_with("STRAIGHT_JOIN")
            )
            connection.execute(sa.insert(self.new).from_select([c.name for c in source.c], rows))
        return int(upper)

    def _check(self) -> None:
        """Rows listed = copied, and alike; rows that go = planned = all the others; then the next id, and the state."""
        with self.campaign.engine.connect() as connection:
            listed, copied = (
                connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (self.kept, self.new)
            )
            planned, going = self._planned(connection), count_keys(connection, self.keys, self.number)
            there = listed + sum(going.values())
            if not self._by_spaces(connection):  # the keys of a view are the rows themselves
                id_, last = self.source.c.id, self._load().max_id
                there = connection.execute(sa.select(sa.func.count(id_)).where(id_ <= last)).scalar_one()
            if listed != copied or going != planned or there != listed + sum(going.values()):
                raise TransitionError(
                    f"Lignes de {self.source.name} : à garder {listed}, copiées {copied} ; à déplacer"
                    f" {sum(planned.values())}, clés figées {sum(going.values())} ; en tout {there}. Rien n'a changé"
                    " dans Moodle ; fermez-le, puis lancez une nouvelle exécution."
                )
            checksum = None
            if self.name not in _APPENDED:
                query = sa.select(rows_checksum(self.new)).select_from(self.new)
                checksum = str(connection.execute(query).scalar_one())
            if checksum and checksum != kept_checksum(connection, self.kept, self.source):
                raise TransitionError(
                    f"Des lignes à garder de {self.source.name} ont changé pendant leur copie. Rien n'a changé dans"
                    " Moodle ; arrêtez son cron et ses serveurs, puis relancez cette tâche."
                )
            text = connection.execute(sa.text(f"SHOW CREATE TABLE {quoted(self.source)}")).one()[1]
            if found := re.search(r"\bAUTO_INCREMENT=(\d+)", text.rpartition("\n)")[2]):
                next_id = int(found[1]) + SKIPPED_IDS
                connection.execute(sa.text(f"ALTER TABLE {quoted(self.new)} AUTO_INCREMENT = {next_id}"))
            self._set(connection, state="ready", checksum=checksum)
            connection.commit()

    def _rename(self) -> None:
        """Both tables at once. The server waits for whoever still reads Moodle's table: not for ever."""
        self.campaign.check_fence()
        with self.campaign.engine.connect() as connection:
            connection.execute(sa.text("SET SESSION lock_wait_timeout = 60"))
            try:
                connection.execute(
                    sa.text(
                        f"RENAME TABLE {quoted(self.source)} TO {quoted(self.archive)},"
                        f" {quoted(self.new)} TO {quoted(self.source)}"
                    )
                )
            finally:
                connection.invalidate()  # the timeout is the session's

    def _finish(self) -> None:
        """After the RENAME: the keys follow; rows that came at the last moment, and the journal, in one transaction."""
        with self.campaign.engine.connect() as connection:
            if self._by_spaces(connection):
                point(connection, self.campaign, self.name, self.campaign.archive_schema)
            self._put_late(connection)  # first of all: Moodle lacks these rows
            if self._load().checksum not in (None, kept_checksum(connection, self.kept, self.archive)):
                # Between the check and the RENAME: by the time that is known, its rows may have been written anew.
                journal.record(
                    connection, self.campaign, "purge", "changed", table_name=self.name,
                    detail="lignes à garder modifiées ou supprimées par Moodle pendant l'échange",
                )  # fmt: skip
            if not self._by_spaces(connection):  # the spaces of a view are this run's alone
                drop_named_copies(connection, self.keys, self.kept, self.archive, self.number)
            self._record(connection, self._planned(connection))  # what was checked before the RENAME
            self._set(connection, state="done")
            connection.commit()

    def _put_late(self, connection: sa.Connection) -> None:
        """Put into the new table what Moodle wrote in the old one after the check, but where it has written that anew.

        A user's last access, say, may be there again since the RENAME: the older row stays in the archive.
        """
        late, there = self.archive.c.id > self._load().max_id, self.source.alias("there")
        taken = (
            sa.exists().where(*(there.c[column] == self.archive.c[column] for column in key))
            for key in unique_keys(connection, self.campaign.moodle.schema).get(self.source.name, [])
        )
        came = connection.execute(sa.select(sa.func.count()).select_from(self.archive).where(late)).scalar_one()
        rows = sa.select(*self.archive.c).where(late, *(~place for place in taken))
        columns = [column.name for column in self.source.c]
        put = connection.execute(sa.insert(self.source).from_select(columns, rows)).rowcount
        if put < came:
            journal.record(
                connection, self.campaign, "purge", "late", table_name=self.name, rows_before=came, rows_after=put,
                detail="lignes écrites par Moodle pendant l'échange ; les autres, réécrites depuis, restent en archive",
            )  # fmt: skip

    def _record(self, connection: sa.Connection, counts: Mapping[tuple[str, int], int]) -> None:
        progress = tables.progress
        rules = sorted({rule for rule, _ in counts})
        for rule in rules:
            moved = sum(rows for (of, _), rows in counts.items() if of == rule)
            mine = sa.and_(progress.c.run == self.number, progress.c.rule == rule, progress.c.table_name == self.name)
            connection.execute(sa.update(progress).where(mine).values(moved=moved, done=True))
        heading = {**journal.heading(self.campaign, "purge", "moved"), "run": self.number, "table_name": self.name}
        entries = [
            {**heading, "rule": rule, "courseid": courseid, "rows_before": rows, "rows_moved": rows, "rows_after": 0,
             "detail": "échange de tables"}
            for (rule, courseid), rows in sorted(counts.items())
        ]  # fmt: skip
        if entries:
            connection.execute(sa.insert(tables.journal), entries)

    def _planned(self, connection: sa.Connection) -> dict[tuple[str, int], int]:
        line = tables.plan_line.c
        query = sa.select(line.rule, line.courseid, line.rows).where(
            line.run == self.number, line.table_name == self.name
        )
        return {(rule, courseid): rows for rule, courseid, rows in connection.execute(query)}

    def _by_spaces(self, connection: sa.Connection) -> bool:
        """Whether the table goes by whole spaces: then its keys are a view, over the table itself."""
        return is_view(connection, self.keys)

    def _same_row_format(self, connection: sa.Connection) -> None:
        """One that is the server's old default is not carried by LIKE."""
        query = sa.text(
            "SELECT row_format FROM information_schema.tables WHERE table_schema = :schema AND table_name = :name"
        )
        old, new = (
            connection.execute(query, {"schema": table.schema, "name": table.name}).scalar_one()
            for table in (self.source, self.new)
        )
        if old != new:
            connection.execute(sa.text(f"ALTER TABLE {quoted(self.new)} ROW_FORMAT={old.upper()}"))

    def _exists(self, table: sa.Table) -> bool:
        query = sa.text("SELECT 1 FROM information_schema.tables WHERE table_schema = :schema AND table_name = :name")
        with self.campaign.engine.connect() as connection:
            return connection.execute(query, {"schema": table.schema, "name": table.name}).first() is not None

    @staticmethod
    def _drop(connection: sa.Connection, *found: sa.Table) -> None:
        for table in found:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {quoted(table)}"))

    def _load(self) -> sa.Row[str, int, str | None]:
        way = tables.way.c
        with self.campaign.engine.connect() as connection:
            return connection.execute(sa.select(way.state, way.max_id, way.checksum).where(self.mine)).one()

    def _set(self, connection: sa.Connection, **values: object) -> None:
        connection.execute(sa.update(tables.way).where(self.mine).values(**values))
