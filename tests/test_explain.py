"""No statement starts from the wrong side: each is explained on tables said to be a thousand times larger.

The real database is small, and on small tables any plan is good: the statistics that the server's optimiser reads are
multiplied first.
"""

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from transition import caps, frozen, ways
from transition.backup.coverage import stale_spaces
from transition.backup.rows import backup_traces, selected_rows
from transition.campaign import Campaign, now
from transition.expiry.stage import list_due
from transition.keys import temporary_keys
from transition.leftovers import foreseen
from transition.moodle.database import open_engine
from transition.plan import count_lines
from transition.restore.drill import restore_drill
from transition.restore.stage import Request, restore
from transition.rules.compile import Scope
from transition.state import tables
from transition.stranded import stranded_traces
from transition.ways import SWAP, Way

MOODLE = "grown_moodle"
SWAPPED = ("user_lastaccess", "choice_answers")  # by whole spaces, and by keys
LOG = "logstore_standard_log"
FACTOR = 1_000
LARGE = 20_000  # rows to examine; what a scan of any real table claims after the multiplication
# Tables of the campaign's own schemas, and the names that statements give them; and what a statement has selected
# itself, a step of its own plan: who has a role above a course is joined to all courses.
NAMED = (r"keys?_\w+", r"kept_\w+", "space", "value", "k", "own", r"<derived\d+>")
OURS = re.compile("|".join([*(table.name for table in tables.metadata.sorted_tables), *NAMED]))
# Tables without an index on the column that leads to them: read whole, once and first, and the path followed up.
WITHOUT_INDEX = {
    "ai_action_register": "contextid",
    "competency_usercompcourse": "courseid",
    "editor_atto_autosave": "contextid",
    "forum_track_prefs": "forumid",
    "hotpot": "course",
    "hvp_content_user_data": "hvp_id",
    "hvp_events": "content_id",
    "hvp": "course",
    "offlinequiz_p_choices": "scannedppageid",
    "offlinequiz_q_response_stats": "offlinequizstatisticsid",
    "offlinequiz_q_statistics": "offlinequizstatisticsid",
    "offlinequiz_queue": "offlinequizid",
    "offlinequiz_queue_data": "queueid",
    "offlinequiz_results": "offlinequizid",
    "offlinequiz_scanned_p_pages": "offlinequizid",
    "offlinequiz_statistics": "offlinequizid",
    "quiz_statistics": "hashcode",
    "scheduler": "course",
    "tiny_autosave": "contextid",
    "wiki_locks": "pageid",
}
# What reads every forum of the platform, a few a space: no index tells a forum's type.
ALL_FORUMS = ".mdl_forum.type = "
# Tables that do not grow with a platform.
SMALL = ("mdl_config", "mdl_modules")
# What a statement may begin with besides ours; a number inside JSON has no index either.
LEADING = {*WITHOUT_INDEX, "task_adhoc"}


@dataclass(frozen=True)
class Site:
    """A server that holds the real Moodle database, and a campaign there that has moved what it moves.

    The plans of statements, by their text: ``reading``, of the log for a backup of some spaces and of many;
    ``planning``, of what comes before the purge, the freeze included; ``searching``, of what it searches without the
    rules; ``moving``, within the purge; ``swapping``, of the tables that it swaps; ``beside``, of exports and names.
    """

    server: PrivateMariaDB
    folder: Path
    reading: list[list[Any]]
    planning: dict[str, list[Any]]
    searching: dict[str, list[Any]]
    moving: dict[str, list[Any]]
    swapping: dict[str, list[Any]]
    beside: dict[str, list[Any]]

    def campaign(self, run_id: str = "explained") -> Campaign:
        """The campaign, or a later one, on the server as it runs now."""
        engine = open_engine(self.server.url(MOODLE), poolclass=sa.NullPool)
        platform = reference_platform(self.folder / "storage")
        return Campaign(platform, 2026, run_id, engine, dry_run=False, feed=self.folder / "feed")


@pytest.fixture(scope="module")
def site(reference: Path) -> Iterator[Site]:
    """Each table of Moodle's is said to hold FACTOR times its rows, with as many rows a key."""
    with (
        tempfile.TemporaryDirectory() as folder,
        PrivateMariaDB(f"{folder}/server", options=("--innodb-stats-auto-recalc=OFF",)) as server,
    ):
        load_dump(server, reference / DUMP, MOODLE)
        grow(server, MOODLE)
        site = Site(server, Path(folder), [], {}, {}, {}, {}, {})
        campaign = site.campaign()
        add_newcomers(campaign.server)
        reference_feed(site.folder / "feed")
        run_chain(campaign, ["preflight", "apogee_sync", "detect_missing"])
        for spaces in (range(2, 200), range(2, 5_000)):
            site.reading.extend(read_log(campaign, spaces))
        with explained(campaign.server) as plans:
            run_chain(campaign, ["july_backup"])
            assert stale_spaces(campaign) == {}  # from the same tables, in the same order, as the rows were read
            count_lines(campaign)
        site.planning.update(plans)
        with pytest.MonkeyPatch.context() as patch:
            for module in (ways, frozen):
                patch.setattr(module, "choose_all", swapping(ways.choose_all))
            with explained(campaign.server, "FROM") as beside:
                run_chain(campaign, ["grade_exports"])
            run_chain(campaign, ["plan"])
            with explained(campaign.server, "LEFT OUTER JOIN") as searching:
                assert list(foreseen(campaign)) == []
            site.searching.update(searching)
            run_chain(campaign, ["approval", "maintenance_on"])
            with explained(campaign.server) as plans:
                run_chain(campaign, ["freeze"])
        site.planning.update(plans)
        with explained(campaign.server, "WHERE") as renaming:
            run_chain(campaign, ["ex_rename"])
        site.beside.update({**beside, **renaming})
        with explained(campaign.server) as plans:
            caps.record(campaign)
            run_chain(campaign, ["purge"])
        of_swap = {statement for statement in plans if re.search(r"\.`?(kept_|swap_mdl_)", statement)}
        site.swapping.update({statement: plans[statement] for statement in of_swap})
        site.moving.update({statement: plan for statement, plan in plans.items() if statement not in of_swap})
        yield site


def swapping(choose_all: Callable[..., dict[str, Way]]) -> Callable[..., dict[str, Way]]:
    """The choice of ways, but for the tables of SWAPPED."""

    def chosen(*given: Any) -> dict[str, Way]:
        return {**choose_all(*given), **dict.fromkeys(SWAPPED, Way(SWAP, "pour en voir les plans"))}

    return chosen


def grow(server: PrivateMariaDB, schema: str) -> None:
    """Multiply the statistics of every table like Moodle's in a schema."""
    where = {"schema": schema, "factor": FACTOR}
    with sa.create_engine(server.url(), poolclass=sa.NullPool).begin() as connection:
        found = connection.execute(sa.text(f"SHOW TABLES FROM {schema} LIKE 'mdl\\_%'")).scalars()
        connection.execute(sa.text(f"ANALYZE TABLE {', '.join(f'{schema}.{table}' for table in found)}")).all()
        for statistics, values in (
            ("innodb_table_stats", "n_rows = n_rows * :factor, clustered_index_size = clustered_index_size * :factor"),
            ("innodb_index_stats", "stat_value = stat_value * :factor"),
        ):
            mine = "database_name = :schema AND table_name LIKE 'mdl\\_%'"
            connection.execute(sa.text(f"UPDATE mysql.{statistics} SET {values} WHERE {mine}"), where)
    # The server reads the statistics of a table once, when it is first opened: a start is the sure way.
    server.stop()
    server.start()


def read_log(campaign: Campaign, spaces: Sequence[int]) -> list[list[Any]]:
    """Read the log as a backup does; returns the plan of what reads its states, and of what reads its rows."""
    traces = backup_traces(campaign)[LOG]
    with selected_rows(campaign, LOG, traces, spaces) as selected, explained(campaign.server) as plans:
        assert sum(state.rows for state in selected.states().values()) > 0
        selected.connection.execute(selected.in_order()).all()
    return list(plans.values())


def estimate(campaign: Campaign, table: str) -> int:
    """How many rows the server believes to be in a table."""
    with campaign.server.connect() as connection:
        return int(connection.execute(sa.text(f"EXPLAIN SELECT * FROM {table}")).mappings().one()["rows"])


@contextmanager
def explained(engine: sa.Engine, word: str = "JOIN") -> Iterator[dict[str, list[Any]]]:
    """Explains every statement that runs meanwhile and joins tables, or has another word: its plan, by its text."""
    plans: dict[str, list[Any]] = {}

    def explain(_: object, cursor: Any, statement: str, parameters: Any, __: object, many: bool) -> None:
        words = statement.lstrip("( \n").upper()
        if (
            not many
            and statement not in plans
            and words.startswith(("SELECT", "INSERT", "DELETE", "UPDATE"))
            and word in words
        ):
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
        if ALL_FORUMS in statement:
            continue
        if "space_context" in statement.partition("SELECT")[0]:
            continue  # what lists the contexts of the spaces begins with the spaces, once a stage
        first = plan[0]["table"] or ""
        if [(step["table"], step["type"]) for step in plan[1:]] == [("spaces", "eq_ref")]:
            continue  # read from end to end for the spaces that are wanted, which are many
        if not OURS.fullmatch(first) and first not in LEADING:
            yield f"starts from {first}: {statement}"
        yield from scans(statement, plan)


def scans(statement: str, plan: list[Any], named: Collection[str] | None = None) -> Iterator[str]:
    """Where a large table that is not one of ours is read whole, or each of its rows compared with those before it.

    :param named: the tables to look at; by default, all.
    """
    for number, step in enumerate(plan):
        table = step["table"] or ""
        leads = number == 0 and table in LEADING
        if step["type"] not in ("ALL", "index") or leads or OURS.fullmatch(table) or (named and table not in named):
            continue
        rows = int(step["rows"] or 0)
        # In a buffer it is read once, and compared with every row before it: as many as there are spaces, or more.
        pairs = "BNL join" in (step["Extra"] or "") and rows > FACTOR
        if pairs or rows > LARGE:
            yield f"{'compares' if pairs else 'reads'} {rows} rows of {table}: {statement}"


@pytest.mark.parametrize("table", WITHOUT_INDEX)
def test_the_exceptions_have_no_index_to_use(reference_moodle: sa.Engine, table: str) -> None:
    indexes = sa.inspect(reference_moodle).get_indexes(f"mdl_{table}")
    assert WITHOUT_INDEX[table] not in {index["column_names"][0] for index in indexes}


def test_the_log_is_read_from_end_to_end(site: Site) -> None:
    steps = [[(step["table"], step["type"]) for step in plan] for plan in site.reading]
    assert steps == 2 * [[(f"mdl_{LOG}", "ALL"), ("spaces", "eq_ref")], [(f"mdl_{LOG}", "index"), ("spaces", "eq_ref")]]
    sorts = ["filesort" in (plan[0]["Extra"] or "") for plan in site.reading]
    assert sorts == 2 * [True, False], "of the states by space, not of the whole log"


def test_the_statements_of_exports_and_names(site: Site) -> None:
    assert len(site.beside) > 50
    assert len([statement for statement in site.beside if statement.startswith("UPDATE")]) > 5
    found = [
        whole
        for statement, plan in site.beside.items()
        if ALL_FORUMS not in statement
        for whole in scans(statement, plan)
    ]
    assert not found, "\n\n".join(found)
    of_forums = [plan for statement, plan in site.beside.items() if ALL_FORUMS in statement]
    assert [[step["table"] for step in plan] for plan in of_forums] == [["mdl_forum", "mdl_forum_discussions"]]


def test_the_statements_of_plan_backup_freeze_and_purge(site: Site) -> None:
    campaign, plans, moving = site.campaign(), site.planning, site.moving
    assert estimate(campaign, "mdl_forum_posts") > LARGE, "the statistics were not read"
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


def test_the_search_looks_each_row_up_among_those_that_go(site: Site) -> None:
    """Not the other way round, nor once for all the rows that go, of which a table may have millions."""
    statements = {
        text: plan
        for text, plan in site.searching.items()
        if re.search(r"LEFT OUTER JOIN \S*keys_", text) and plan[0]["table"]  # None: some table is empty
    }
    assert len(statements) > 100
    steps = [step for plan in statements.values() for step in plan]
    looked_up = {(step["type"], step["key"]) for step in steps if "keys_" in (step["table"] or "")}
    assert looked_up == {("eq_ref", "PRIMARY")}


def test_the_statements_of_a_swap(site: Site) -> None:
    shapes = {
        (
            statement.split(maxsplit=3)[2].partition(".")[2] if statement.startswith("INSERT") else "",
            *((step["table"], step["type"]) for step in plan),
        )
        for statement, plan in site.swapping.items()
    }
    copies = {(f"swap_mdl_{name}", (f"kept_{name}", "range"), (f"mdl_{name}", "eq_ref")) for name in SWAPPED}
    compared = {("", (f"kept_{name}", "index"), (f"mdl_{name}", "eq_ref")) for name in SWAPPED}
    # Which rows stay is asked of the whole table, in the order of its ids; of each, whether it has a key.
    listed = ("kept_choice_answers", ("mdl_choice_answers", "range"), ("key_choice_answers", "ref"))
    # Keys of other runs lead to copies that they must not name: there are none.
    named = ("", ("k", "range"), ("p", "eq_ref"), ("t", "eq_ref"))
    assert shapes == {*copies, *compared, listed, named}


def test_the_statements_of_a_second_run_of_the_year(site: Site) -> None:
    first, later = site.campaign(), site.campaign("second")
    run_chain(later, ["preflight", "apogee_sync", "detect_missing"])
    with explained(later.server) as plans, later.engine.connect() as connection:
        for trace in stranded_traces(later, Scope(later.run)):
            temporary_keys(connection, later, trace.table, [trace])
    first.take_fence()
    # Most keys of an earlier run are of spaces that it has done: they are not looked up in Moodle.
    orders = {
        statement: [(step["table"].partition("_")[0], step["key"]) for step in plan[:3]]
        for statement, plan in plans.items() if " AS stranded" in statement
    }  # fmt: skip
    assert len(orders) > 50
    expected = [("decision", "PRIMARY"), ("key", "by_course"), ("stranded", "PRIMARY")]
    assert {statement: order for statement, order in orders.items() if order != expected} == {}
    # What hung from a row that no index leads to is looked up among those rows, written down once.
    assert [whole for text in orders for whole in scans(text, plans[text])] == []
    assert len([statement for statement in orders if "above_question_usages_0" in statement]) == 4


@pytest.fixture(scope="module")
def ending(site: Site) -> dict[str, list[Any]]:
    """The plans of what reads the archive, grown as well, from the end of the purge to that of the campaign."""
    archive = site.campaign().archive_schema
    grow(site.server, archive)
    campaign = site.campaign()
    assert estimate(campaign, f"{archive}.mdl_forum_posts") > LARGE, "the statistics were not read"
    with explained(campaign.server, archive.upper()) as plans:
        run_chain(campaign, ["file_contents", "enrolment", "verify", "maintenance_off"])
    return plans


def test_the_statements_that_read_the_archive(site: Site, ending: dict[str, list[Any]]) -> None:
    campaign, plans = site.campaign(), dict(ending)
    archive = campaign.archive_schema
    requests = {
        "student": Request("LI3INF01", conflicts="skip", student="22300001"),
        "whole": Request("LI3INF01", conflicts="skip", enrolments=True),
    }
    for name, request in requests.items():
        later = site.campaign(name)
        with explained(later.server, archive.upper()) as of_restore:
            restore(later, request)
        plans.update(of_restore)
    # What began with the archive would have to read it whole: it has an index for nothing but what is looked up there.
    read, whole = archive_steps(archive, plans)
    assert read > 1_000
    assert not whole, "\n\n".join(whole)
    due = site.campaign("due")
    with explained(due.server, "FROM") as of_expiry:
        list_due(due, now() + timedelta(days=500))
    of_moodle = {text: plan for text, plan in of_expiry.items() if archive not in text}  # the archive is read whole
    assert len(of_moodle) > 10
    large = {text: plan for text, plan in of_moodle.items() if plan[0]["table"] not in SMALL}
    assert [found for text, plan in large.items() for found in scans(text, plan)] == []
    with explained(campaign.server) as backwards, campaign.server.connect() as connection:
        join = f"{archive}.mdl_forum_read p STRAIGHT_JOIN ecampus_transition.restore_row r ON r.id = p.id"
        connection.execute(sa.text(f"SELECT COUNT(*) FROM {join}"))
    assert archive_steps(archive, backwards)[1], "a statement from the wrong side is not seen"


def archive_steps(archive: str, plans: dict[str, list[Any]]) -> tuple[int, list[str]]:
    """How often statements read a table of the archive, and where they read one whole."""
    read, whole = 0, list[str]()
    for text, plan in plans.items():
        named = re.findall(rf"{archive}`?\.`?(mdl_\w+)`?(?: (?:AS )?(\w+))?", text)
        names = {name for pair in named for name in pair} - {""}
        read += sum(step["table"] in names for step in plan)
        whole += scans(text, plan, names) if names else []
    return read, whole


@pytest.mark.usefixtures("ending")
def test_the_statements_of_a_drill_and_of_a_restore_from_the_backup(site: Site) -> None:
    campaign = site.campaign("without archive")
    with campaign.server.begin() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {campaign.archive_schema}"))
    with explained(campaign.server, "FROM") as plans:
        restore_drill(campaign, 2, 7)
        drilled = len(plans)
        restore(campaign, Request("L1MAT101", conflicts="skip", enrolments=True))
    assert drilled > 100
    assert len(plans) > drilled + 300
    found = [
        whole for statement, plan in plans.items() for whole in scans(statement, plan) if plan[0]["table"] not in SMALL
    ]
    assert not found, "\n\n".join(found)
