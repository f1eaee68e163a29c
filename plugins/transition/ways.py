"""Which way the rows of a table go: chunk by chunk, or, when almost all go, by swapping the whole table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.people import RULE as ENROLMENT
from transition.state import tables

CHUNKS, SWAP = "chunks", "swap"
FEW = "peu de lignes"
SWAP_ROWS = 50_000  # below, chunks take seconds
SWAP_SHARE = 0.8  # of the table's rows: a swap copies the others, and chunks copy and delete these
# What RENAME TABLE needs on Moodle's schema, besides the rights that chunks need; and TRIGGER: without it MySQL
# does not show the triggers of a table, which the RENAME would refuse.
SWAP_RIGHTS = frozenset({"ALTER", "DROP", "CREATE", "TRIGGER"})
# What forbids a swap, counted by the server, and in French.
_OBSTACLES = (
    (
        "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = :schema AND table_name = :name"
        " AND column_name = 'id' AND data_type <> 'bigint'",
        "ses identifiants ne sont pas de type BIGINT",  # a swap skips some: others have none to spare
    ),
    (
        "SELECT COUNT(*) FROM information_schema.triggers"
        " WHERE event_object_schema = :schema AND event_object_table = :name",
        "un déclencheur (TRIGGER) la suit",
    ),
    (
        "SELECT COUNT(*) FROM information_schema.referential_constraints WHERE constraint_schema = :schema"
        " AND (table_name = :name OR referenced_table_name = :name)",
        "une clé étrangère la lie",
    ),
)


@dataclass(frozen=True)
class Way:
    """How a table's rows go, and why, in French."""

    way: str
    reason: str


@dataclass(frozen=True)
class TableFacts:
    """What the choice depends on; rows are the server's estimate. ``obstacle``: what forbids a swap, '' if nothing."""

    rows: int
    moved: int
    obstacle: str


def choose(facts: TableFacts) -> Way:
    """The way of one table; pure."""
    rows = max(facts.rows, facts.moved)
    if facts.moved < SWAP_ROWS:
        return Way(CHUNKS, FEW)
    share = f"{100 * facts.moved // rows} % des lignes partent"
    if facts.moved < SWAP_SHARE * rows:
        return Way(CHUNKS, share)
    if facts.obstacle:
        return Way(CHUNKS, f"{share}, mais {facts.obstacle}")
    return Way(SWAP, share)


def store_ways(campaign: Campaign, lines: Mapping[tuple[str, str, int], int]) -> None:
    """Choose the way of every table of a plan, anew.

    :param lines: rows by (rule, table, course id).
    """
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(tables.way).where(tables.way.c.run == campaign.run))
        for name, way in choose_all(campaign, lines).items():
            store_way(connection, campaign, name, way)


def store_way(connection: sa.Connection, campaign: Campaign, name: str, way: Way) -> None:
    """Set the way of one table, with its swap still to begin."""
    mine = sa.and_(tables.way.c.run == campaign.run, tables.way.c.table_name == name)
    values = {"run": campaign.run, "table_name": name, "way": way.way, "reason": way.reason, "state": "", "max_id": 0}
    connection.execute(sa.delete(tables.way).where(mine))
    connection.execute(sa.insert(tables.way).values(values))


def choose_all(campaign: Campaign, lines: Mapping[tuple[str, str, int], int]) -> dict[str, Way]:
    """The way of each table of a plan."""
    moved: dict[str, int] = {}
    rules: dict[str, set[str]] = {}
    for (rule, name, _), rows in lines.items():
        moved[name] = moved.get(name, 0) + rows
        rules.setdefault(name, set()).add(rule)
    with campaign.engine.connect() as connection:
        many = [name for name, rows in moved.items() if rows >= SWAP_ROWS]
        sizes = _estimates(connection, campaign, many)
        obstacles = {name: _obstacle(connection, campaign, name, rules[name]) for name in many}
    return {
        name: choose(TableFacts(sizes.get(name, 0), rows, obstacles.get(name, "")))
        for name, rows in sorted(moved.items())
    }


def load_ways(campaign: Campaign) -> dict[str, Way]:
    """The stored ways of the run, by table."""
    way = tables.way.c
    with campaign.engine.connect() as connection:
        query = sa.select(way.table_name, way.way, way.reason).where(way.run == campaign.run)
        return {name: Way(how, reason) for name, how, reason in connection.execute(query)}


def _estimates(connection: sa.Connection, campaign: Campaign, names: Iterable[str]) -> dict[str, int]:
    query = sa.text("SELECT table_name, table_rows FROM information_schema.tables WHERE table_schema = :schema")
    wanted = {campaign.moodle[name].name: name for name in names}
    found = connection.execute(query, {"schema": campaign.moodle.schema})
    return {wanted[table]: int(rows or 0) for table, rows in found if table in wanted}


def _obstacle(connection: sa.Connection, campaign: Campaign, name: str, rules: set[str]) -> str:
    """Why a table cannot be swapped, in French; '' if it can."""
    table = campaign.moodle[name]
    where = {"schema": campaign.moodle.schema, "name": table.name, "archive": campaign.archive_schema}
    if ENROLMENT in rules:
        return "l'inscription y écrit aussi"
    for query, obstacle in _OBSTACLES:
        if connection.execute(sa.text(query), where).scalar():
            return obstacle
    exists = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = :archive AND table_name = :name"
    if connection.execute(sa.text(exists), where).scalar():
        archived = sa.table(table.name, schema=campaign.archive_schema)
        if connection.execute(sa.select(sa.literal(1)).select_from(archived).limit(1)).first():
            return "l'archive de l'année a déjà des lignes"
    if not _rights(connection, campaign.moodle.schema) >= SWAP_RIGHTS:
        return f"le compte n'a pas les droits {', '.join(sorted(SWAP_RIGHTS))} sur {campaign.moodle.schema}"
    return ""


def _rights(connection: sa.Connection, schema: str) -> set[str]:
    """The account's own rights on a schema; those that only a role gives are not seen: then chunks are used."""
    query = sa.text(
        "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = :me UNION"
        " SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = :me"
        " AND :schema LIKE table_schema"
    )
    account = connection.execute(sa.text("SELECT CURRENT_USER()")).scalar_one()
    user, _, host = account.rpartition("@")
    return set(connection.execute(query, {"me": f"'{user}'@'{host}'", "schema": schema}).scalars())
