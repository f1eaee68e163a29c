"""No statement starts from the wrong side: each is explained on tables said to be a thousand times larger.

The real database is small, and on small tables any plan is good: the statistics that the server's optimiser reads are
multiplied first.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from transition import caps
from transition.campaign import Campaign
from transition.plan import count_lines
from transition.state import tables

FACTOR = 1_000
LARGE = 20_000  # rows to examine; what a scan of any real table claims after the multiplication
# Tables of the campaign's own schemas, and the names that statements give them.
OURS = re.compile(
    "|".join([*(table.name for table in tables.metadata.sorted_tables), r"keys?_\w+", r"kept_\w+", "space", "k"])
)
# Tables without an index on the column that leads to them: read whole, but once a statement, not once a row above.
WITHOUT_INDEX = {
    "editor_atto_autosave": "contextid",
    "forum_track_prefs": "forumid",
    "offlinequiz_results": "offlinequizid",
    "hvp_events": "content_id",
    "hvp_content_user_data": "hvp_id",
}


@pytest.fixture
def campaign(real_moodle: sa.Engine, tmp_path: Path) -> Campaign:
    """A campaign at the point where its spaces are decided."""
    add_newcomers(real_moodle)
    reference_feed(tmp_path / "feed")
    platform = reference_platform(tmp_path / "storage")
    campaign = Campaign(platform, 2026, "explained", real_moodle, dry_run=False, feed=tmp_path / "feed")
    run_chain(campaign, ["preflight", "apogee_sync", "detect_missing"])
    grow(real_moodle)
    return campaign


def grow(engine: sa.Engine) -> None:
    """Have every table of the database claim FACTOR times its rows, with as many rows a key as it has."""
    with engine.begin() as connection:
        connection.execute(sa.text("SET GLOBAL innodb_stats_auto_recalc = OFF"))
        where = {"schema": engine.url.database, "factor": FACTOR}
        tables = list(connection.execute(sa.text("SHOW TABLES")).scalars())
        connection.execute(sa.text(f"ANALYZE TABLE {', '.join(tables)}")).all()
        for statistics, values in (
            ("innodb_table_stats", "n_rows = n_rows * :factor, clustered_index_size = clustered_index_size * :factor"),
            ("innodb_index_stats", "stat_value = stat_value * :factor"),
        ):
            connection.execute(sa.text(f"UPDATE mysql.{statistics} SET {values} WHERE database_name = :schema"), where)
    # The server reads a table's statistics again only if nobody, its own purge included, has the table open just now.
    unread = sa.text(
        "SELECT COUNT(*) FROM information_schema.tables t JOIN mysql.innodb_table_stats s"
        " ON s.database_name = t.table_schema AND s.table_name = t.table_name"
        " WHERE t.table_schema = :schema AND t.table_rows <> s.n_rows"
    )
    with engine.connect() as connection:
        for _ in range(100):
            connection.execute(sa.text("FLUSH TABLES"))
            if not connection.execute(unread, {"schema": engine.url.database}).scalar():
                return
            time.sleep(0.1)
    raise AssertionError("the server did not read the statistics again")


@contextmanager
def explained(engine: sa.Engine) -> Iterator[dict[str, list[Any]]]:
    """Explains every statement that runs meanwhile and joins tables: its plan, by its text."""
    plans: dict[str, list[Any]] = {}

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *__: object) -> None:
        words = statement.lstrip("( \n").upper()
        if statement not in plans and words.startswith(("SELECT", "INSERT", "DELETE")) and "JOIN" in words:
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
        if not OURS.fullmatch(first):
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


def test_the_statements_of_plan_backup_and_purge(campaign: Campaign) -> None:
    with explained(campaign.server) as plans:
        run_chain(campaign, ["july_backup"])
        count_lines(campaign)
    run_chain(campaign, ["grade_exports", "plan", "approval", "maintenance_on", "freeze"])
    with explained(campaign.server) as moving:
        caps.record(campaign)
        run_chain(campaign, ["purge"])
    assert len(plans) > 500
    assert len(moving) > 50
    found = list(wrong({**plans, **moving}))
    assert not found, "\n\n".join(found)
    with explained(campaign.server) as backwards, campaign.server.connect() as connection:
        join = "mdl_question_attempt_steps s STRAIGHT_JOIN mdl_question_attempts a ON a.id = s.questionattemptid + 0"
        connection.execute(sa.text(f"SELECT COUNT(*) FROM {join}"))
    assert list(wrong(backwards)), "a statement from the wrong side is not seen"
