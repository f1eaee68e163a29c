"""No statement starts from the wrong side: each is explained on tables said to be a thousand times larger.

The real database is small, and on small tables any plan is good: the statistics that the server's optimiser reads are
multiplied first.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from transition import caps
from transition.backup.rows import backup_traces, selected_rows
from transition.campaign import Campaign
from transition.plan import count_lines
from transition.state import tables

MOODLE = "grown_moodle"
LOG = "logstore_standard_log"
FACTOR = 1_000
LARGE = 20_000  # rows to examine; what a scan of any real table claims after the multiplication
# Tables of the campaign's own schemas, and the names that statements give them.
OURS = re.compile(
    "|".join([*(table.name for table in tables.metadata.sorted_tables), r"keys?_\w+", r"kept_\w+", "space", "k"])
)
# Tables without an index on the column that leads to them: read whole, but once a statement, not once a row above.
WITHOUT_INDEX = {
    "competency_usercompcourse": "courseid",
    "editor_atto_autosave": "contextid",
    "forum_track_prefs": "forumid",
    "offlinequiz_results": "offlinequizid",
    "hvp_events": "content_id",
    "hvp_content_user_data": "hvp_id",
    "tiny_autosave": "contextid",
}
# What a number inside JSON leads from: read whole, once, and first.
BY_JSON = {"task_adhoc"}


@pytest.fixture(scope="module")
def grown_moodle(reference: Path) -> Iterator[sa.Engine]:
    """The real Moodle database, each of its tables said to hold FACTOR times its rows, with as many rows a key."""
    with tempfile.TemporaryDirectory() as folder:
        with PrivateMariaDB(folder) as server:
            load_dump(server, reference / DUMP, MOODLE)
            grow(sa.create_engine(server.url(MOODLE), poolclass=sa.NullPool))
        # The server reads the statistics of a table once, when it is first opened: a start is the sure way.
        with PrivateMariaDB(folder) as server:
            engine = sa.create_engine(server.url(MOODLE))
            with engine.connect() as connection:
                connection.execute(sa.text("SET GLOBAL innodb_stats_auto_recalc = OFF"))
            yield engine
            engine.dispose()


@pytest.fixture(scope="module")
def campaign(grown_moodle: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """A campaign at the point where its spaces are decided."""
    folder = tmp_path_factory.mktemp("explained")
    add_newcomers(grown_moodle)
    reference_feed(folder / "feed")
    platform = reference_platform(folder / "storage")
    campaign = Campaign(platform, 2026, "explained", grown_moodle, dry_run=False, feed=folder / "feed")
    run_chain(campaign, ["preflight", "apogee_sync", "detect_missing"])
    return campaign


def grow(engine: sa.Engine) -> None:
    """Multiply the statistics of every table of the database."""
    where = {"schema": engine.url.database, "factor": FACTOR}
    with engine.begin() as connection:
        connection.execute(sa.text("SET GLOBAL innodb_stats_auto_recalc = OFF"))
        tables = list(connection.execute(sa.text("SHOW TABLES")).scalars())
        connection.execute(sa.text(f"ANALYZE TABLE {', '.join(tables)}")).all()
        for statistics, values in (
            ("innodb_table_stats", "n_rows = n_rows * :factor, clustered_index_size = clustered_index_size * :factor"),
            ("innodb_index_stats", "stat_value = stat_value * :factor"),
        ):
            connection.execute(sa.text(f"UPDATE mysql.{statistics} SET {values} WHERE database_name = :schema"), where)


@contextmanager
def explained(engine: sa.Engine, word: str = "JOIN") -> Iterator[dict[str, list[Any]]]:
    """Explains every statement that runs meanwhile and joins tables, or has another word: its plan, by its text."""
    plans: dict[str, list[Any]] = {}

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *__: object) -> None:
        words = statement.lstrip("( \n").upper()
        if statement not in plans and words.startswith(("SELECT", "INSERT", "DELETE")) and word in words:
            with cursor.connection.cursor() as other:
                other.execute(f"EXPLAIN {statement}", parameters)
                names = [column[0] for column in other.description]
                plans[statement] = [dict(zip(names, row, strict=True)) for row in other.fetchall()]

    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)


def wrong(plans: dict[str, list[Any]]) -> Iterator[str]:
    """What starts from Moodle's side, or reads a large table of Moodle's whole."""
    for statement, plan in plans.items():
        first = plan[0]["table"] or ""
        if [(step["table"], step["type"]) for step in plan[1:]] == [("spaces", "eq_ref")]:
            continue  # read from end to end for the spaces that are wanted, which are many
        if not OURS.fullmatch(first) and first not in BY_JSON:
            yield f"starts from {first}: {statement}"
        for step in plan[1:]:
            table = step["table"] or ""
            scans = step["type"] in ("ALL", "index") and int(step["rows"] or 0) > LARGE
            once = table in WITHOUT_INDEX and "join buffer" in (step["Extra"] or "")
            if scans and not OURS.fullmatch(table) and not once:
                yield f"reads {step['rows']} rows of {table}: {statement}"


@pytest.mark.parametrize("table", WITHOUT_INDEX)
def test_the_exceptions_have_no_index_to_use(reference_moodle: sa.Engine, table: str) -> None:
    indexes = sa.inspect(reference_moodle).get_indexes(f"mdl_{table}")
    assert WITHOUT_INDEX[table] not in {index["column_names"][0] for index in indexes}


def test_the_log_is_read_from_end_to_end(campaign: Campaign) -> None:
    traces, ways = backup_traces(campaign)[LOG], []
    for spaces in (list(range(2, 200)), list(range(2, 5_000))):
        with selected_rows(campaign, LOG, traces, spaces) as selected:
            connection = selected.connection
            with explained(campaign.server) as plans:
                assert sum(state.rows for state in selected.states().values()) > 0
                connection.execute(selected.in_order()).all()
        ways += [[(step["table"], step["type"], step["Extra"]) for step in plan] for plan in plans.values()]
    grouped, ordered = ways[0], ways[1]
    assert [(table, way) for table, way, _ in grouped] == [(f"mdl_{LOG}", "ALL"), ("spaces", "eq_ref")]
    assert [(table, way) for table, way, _ in ordered] == [(f"mdl_{LOG}", "index"), ("spaces", "eq_ref")]
    assert "filesort" not in (ordered[0][2] or ""), "the whole log would be sorted first"
    assert ways[2:] == ways[:2]


def test_the_statements_of_plan_backup_and_purge(campaign: Campaign) -> None:
    with explained(campaign.server) as plans:
        run_chain(campaign, ["july_backup"])
        count_lines(campaign)
    run_chain(campaign, ["grade_exports", "plan", "approval", "maintenance_on", "freeze"])
    with explained(campaign.server) as moving:
        caps.record(campaign)
        run_chain(campaign, ["purge"])
    with campaign.server.connect() as connection:
        rows = connection.execute(sa.text("EXPLAIN SELECT * FROM mdl_forum_posts")).mappings().one()["rows"]
    assert int(rows) > LARGE, "the statistics were not read: every plan is good on a small table"
    assert len(plans) > 500
    assert len(moving) > 50
    found = list(wrong({**plans, **moving}))
    assert not found, "\n\n".join(found)
    orders = [[step["table"] for step in plan] for statement, plan in plans.items() if "AS node_files" in statement]
    posts = [order for order in orders if "forum_posts" in order]
    assert posts, "no statement reads the files of posts"
    # Few posts have a file: to look for one from each of them would take the longer the more posts there are.
    assert all(order.index("node_files") < order.index("forum_posts") for order in posts)
    with explained(campaign.server) as backwards, campaign.server.connect() as connection:
        join = "mdl_question_attempt_steps s STRAIGHT_JOIN mdl_question_attempts a ON a.id = s.questionattemptid + 0"
        connection.execute(sa.text(f"SELECT COUNT(*) FROM {join}"))
    assert list(wrong(backwards)), "a statement from the wrong side is not seen"
