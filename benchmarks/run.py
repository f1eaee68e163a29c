"""``make bench``: build a platform, measure the campaign and its references on it, write docs/benchmarks.{json,md}."""

import json
import logging
import os
import platform as machine
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks import campaign as ours
from benchmarks import enrolment
from benchmarks import references as plain
from benchmarks.platform import Size, build, without_indexes
from benchmarks.process import alone
from benchmarks.tell import curve_markdown, markdown
from demo.server import PrivateMariaDB
from transition.backup.stage import july_backup
from transition.campaign import Campaign
from transition.moodle.database import open_engine, quoted
from transition.plan import count_lines
from transition.state import tables
from transition.verify import verify

SIZES = {"tiny": Size(20, 19, 3_000), "default": Size(200, 190, 4_000), "large": Size(2_000, 1_900, 4_000)}
# The campaign alone, at growing sizes; Moodle's own is last, and only foretold.
CURVE = tuple(Size(spaces, spaces * 95 // 100, 4_000) for spaces in (100, 200, 400, 800, 2_000))
DOCS = Path(__file__).resolve().parents[1] / "docs"
MOODLE, COPY = "bench_moodle", "bench_copy"
LOG = "logstore_standard_log"
RESTORED = {"CODE2": "first", "CODE3": "next"}  # spaces that come back from the archive schema, in this order
_QUIET, _PATIENCE = 100, 60  # pages and transactions left in a server that counts as quiet; seconds to become so


@dataclass
class Results:
    """What was measured: by name, rows and seconds; peak memory of each stage, in MiB; what the figures were got on."""

    scale: str
    size: dict[str, Any]
    machine: dict[str, Any]
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, rows: int, seconds: float, memory: float = 0) -> None:
        """Keep a measure, say it, and store the page as it stands: a long run that is stopped has what it measured."""
        self.measures[name] = {"rows": rows, "seconds": round(seconds, 3)}
        if memory:
            self.memory[name] = round(memory)
        if self.scale in SIZES:
            facts = asdict(self)
            store(self.scale, facts, markdown(facts))
        print(f"  {name:<52} {rows:>12,} rows {seconds:>9.1f} s {rows / max(seconds, 1e-9):>12,.0f} rows/s", flush=True)


def store(scale: str, facts: Any, page: str) -> None:
    """Write the results into docs/; not those of ``tiny``, a trial of the benchmark itself."""
    if scale != "tiny":
        target = DOCS / f"benchmarks{'' if scale == 'default' else f'-{scale}'}"
        target.with_suffix(".json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        target.with_suffix(".md").write_text(page, encoding="utf-8")


def server_of(size: Size, folder: Path) -> PrivateMariaDB:
    """A server whose memory grows with the platform, as an administrator sizes it: the tables do not fit into it."""
    pool = max(96, 192 * size.spaces // 200)
    options = (f"--innodb-buffer-pool-size={pool}M", f"--innodb-log-file-size={pool // 2}M")
    return PrivateMariaDB(folder / "mariadb", options=options)


def give_log_back(campaign: Campaign, size: Size, times: int) -> None:
    """Give Moodle its log as it was before the swap, with the rows that go once or twice; restored spaces have none."""
    table = campaign.moodle[LOG]
    archived, fresh = (quoted(name, campaign.archive_schema) for name in (table.name, "fresh_log"))
    names = ", ".join(column.name for column in table.c if column.name != "id")
    with campaign.engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {fresh} LIKE {quoted(table)}")
        with without_indexes(connection, fresh):
            connection.exec_driver_sql(f"INSERT INTO {fresh} SELECT * FROM {archived}")  # noqa: S608
            if times == 2:
                connection.exec_driver_sql(
                    f"INSERT INTO {fresh} ({names}) SELECT {names} FROM {archived}"  # noqa: S608
                    f" WHERE courseid <= {size.last_going}"
                )
            connection.commit()
        connection.exec_driver_sql(f"DROP TABLE {quoted(table)}, {archived}")
        connection.exec_driver_sql(f"RENAME TABLE {fresh} TO {quoted(table)}")
        connection.exec_driver_sql(f"DROP VIEW {quoted(f'key_{LOG}', campaign.archive_schema)}")


def settle(moodle: sa.Engine) -> None:
    """Let the server write and purge what it still holds in memory: that would share the disk with what is measured."""
    left = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_buffer_pool_pages_dirty', 'Innodb_history_list_length')"
    with moodle.connect() as connection:
        connection.exec_driver_sql("SET GLOBAL innodb_max_dirty_pages_pct = 0")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if sum(int(value) for _, value in connection.exec_driver_sql(left)) < _QUIET:
                break
            time.sleep(0.1)
        connection.exec_driver_sql("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT")


def measure(server: PrivateMariaDB, folder: Path, scale: str) -> Results:
    """Build, measure, in the order in which each measure finds what it needs."""
    size = SIZES[scale]
    moodle, results = _built(server, size, scale)
    helpers = ["grade_items", "course_modules"]
    plain.copy_tables(moodle, MOODLE, COPY, helpers)
    results.add("INSERT ... SELECT of every trace", size.rows, plain.insert_select(moodle, MOODLE, COPY, size))
    dumped = folder / "dump.sql"
    settle(moodle)
    results.add("mariadb-dump of every trace", size.rows, plain.dump(server.url(), MOODLE, plain.ORDER, dumped))
    dumped.unlink()
    results.add("row by row, one space, without its log", *plain.row_by_row(moodle, COPY, size.last_going))
    plain.copy_tables(moodle, MOODLE, COPY, [name for name in plain.ORDER if name != LOG])
    settle(moodle)
    total, spent = 0, 0.0
    for name in plain.ORDER:
        rows, seconds = plain.plain_delete(moodle, COPY, size, name)
        total, spent = total + rows, spent + seconds
        if name == LOG:
            results.add("log: one plain DELETE", rows, seconds)
    results.add("whole purge: one plain DELETE ... JOIN a table", total, spent)
    plain.copy_tables(moodle, MOODLE, COPY, [LOG])
    settle(moodle)
    results.add("log: chunked DELETE", *plain.chunked_delete(moodle, COPY, size, LOG))
    with moodle.connect() as connection:  # and what the server still has to clean up after the references
        connection.exec_driver_sql(f"DROP DATABASE {COPY}")

    campaign = _campaign(moodle, folder, size, results)
    _check(campaign, total)
    _restore_archived(campaign, results)
    for times, name in ((1, "log again, by swap"), (2, "log again, twice the rows that go")):
        _swap_again(campaign, size, times, name, results)
    _restore_backed_up(campaign, results)
    if scale == "default":  # the same number at every scale
        _registrations(server, folder, results)
    return results


def _campaign(moodle: sa.Engine, folder: Path, size: Size, results: Results) -> Campaign:
    """Every stage on its own; returns the campaign."""
    campaign = ours.open_campaign(moodle, folder, size, "bench")
    log, total = size.log * size.going, size.rows * size.going // size.spaces
    for name, work, rows in (
        ("campaign: backup of every trace, read back", lambda: july_backup(campaign), size.rows),
        ("campaign: plan", lambda: count_lines(campaign), total),
        ("campaign: freeze, the keys", lambda: ours.freeze(campaign), total),
        ("campaign: freeze, its checks", lambda: ours.check(campaign), size.rows),
        ("campaign: log, by swap", lambda: ours.purge(campaign, "logs"), log),
        ("campaign: the other tables", lambda: ours.purge(campaign), total - log),
        ("campaign: verify", lambda: verify(campaign), size.rows),
    ):
        settle(moodle)
        _, seconds, memory = alone(moodle, work)
        results.add(name, rows, seconds, memory)
    return campaign


def curve(folder: Path) -> list[Results]:
    """The campaign alone at each size of :data:`CURVE`, on a server of its own each time."""
    found = []
    for size in CURVE:
        place = folder / str(size.spaces)
        with server_of(size, place) as server:
            moodle, results = _built(server, size, "curve")
            campaign = _campaign(moodle, place, size, results)
            _restore_archived(campaign, results)
            _restore_backed_up(campaign, results)
        shutil.rmtree(place / "mariadb")
        results.memory.clear()  # a stage begins with all that this process holds, size after size
        found.append(results)
    return found


def _new_database(server: PrivateMariaDB) -> sa.Engine:
    """An empty database for a platform, without what an earlier one left."""
    with sa.create_engine(server.url()).connect() as connection:
        for name in (MOODLE, "bench_transition"):
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {MOODLE} CHARACTER SET utf8mb4")
    return open_engine(server.url(MOODLE))


def _built(server: PrivateMariaDB, size: Size, scale: str) -> tuple[sa.Engine, Results]:
    """The platform, and the results that say what it is."""
    moodle = _new_database(server)
    begun = time.perf_counter()
    with moodle.connect() as connection:
        version, pool = connection.exec_driver_sql("SELECT VERSION(), @@innodb_buffer_pool_size DIV 1048576").one()
        results = Results(scale, {**asdict(size), "rows": size.rows}, _machine(version, pool))
        build(connection, size)
    results.add("building the platform", size.rows, time.perf_counter() - begun)
    return moodle, results


def _swap_again(campaign: Campaign, size: Size, times: int, name: str, results: Results) -> None:
    """The log once more: as many rows stay, and as many or twice as many go."""
    give_log_back(campaign, size, times)
    again = ours.open_campaign(campaign.engine, Path(campaign.platform.storage), size, name)
    alone(campaign.engine, lambda: ours.freeze(again))
    settle(campaign.engine)
    rows, seconds, memory = alone(campaign.engine, lambda: ours.purge(again, "logs"))
    results.add(f"campaign: {name}", rows, seconds, memory)
    with again.engine.begin() as connection:  # what follows restores what the first run did
        connection.execute(sa.delete(tables.decision).where(tables.decision.c.run == again.run))


def _restore_archived(campaign: Campaign, results: Results) -> None:
    """Two spaces from the archive schema, one after the other."""
    for code, which in RESTORED.items():
        settle(campaign.engine)
        measured = alone(campaign.engine, partial(ours.restore, campaign, code))
        results.add(f"campaign: {which} restore from the archive schema", *measured)


def _restore_backed_up(campaign: Campaign, results: Results) -> None:
    """Another one from the backup, the archive schema being gone."""
    with campaign.engine.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {campaign.archive_schema}")
    settle(campaign.engine)
    measured = alone(campaign.engine, partial(ours.restore, campaign, "CODE4"))
    results.add("campaign: restore of one space from the backup", *measured)


def _registrations(server: PrivateMariaDB, folder: Path, results: Results) -> None:
    """A platform of its own."""
    for what, (_, seconds, memory) in enrolment.measure(_new_database(server), folder / "registrations"):
        results.add(f"registrations: {what}", enrolment.REGISTRATIONS, seconds, memory)


def _check(campaign: Campaign, total: int) -> None:
    """The campaign moved what the plain DELETEs deleted."""
    progress = tables.progress.c
    with campaign.engine.connect() as connection:
        moved = connection.execute(sa.select(sa.func.sum(progress.moved)).where(progress.run == campaign.run)).scalar()
    if moved != total:
        raise RuntimeError(f"the campaign moved {moved} rows, the plain DELETEs {total}")


def _machine(server: str, buffer_pool_mib: int) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"), "cores": os.cpu_count(), "memory_gib": round(memory),
        "load": round(os.getloadavg()[0], 1), "server": server,
        "buffer_pool_mib": buffer_pool_mib, "python": machine.python_version(),
        "system": machine.platform(),
    }  # fmt: skip


def main() -> None:
    """Measure at the scale that BENCH_SCALE names (tiny, default, large, curve), and write the results into docs/."""
    logging.disable(logging.INFO)  # the stages' sentences, which Airflow's settings would show
    scale = os.environ.get("BENCH_SCALE", "default")
    if scale not in (*SIZES, "curve"):
        raise SystemExit(f"BENCH_SCALE must be one of {', '.join(SIZES)}, curve, not {scale}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        if scale == "curve":
            found = [asdict(results) for results in curve(Path(name))]
            page = curve_markdown(found)
            store(scale, found, page)
        else:
            with server_of(SIZES[scale], Path(name)) as server:
                page = markdown(asdict(measure(server, Path(name), scale)))
    print(page)


if __name__ == "__main__":
    main()
