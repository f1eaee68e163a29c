"""Any value that MariaDB holds comes back from a table file as it is, and is in the server's checksum."""

import random
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql
from upath import UPath

from demo.server import PrivateMariaDB
from tests.conftest import drop_databases
from transition.backup.manifest import BackupSet, Manifest
from transition.backup.read import read_space
from transition.backup.rows import Selected, consistent_snapshot
from transition.backup.runs import read_rows
from transition.backup.table import Content, Values, read_back, write_table
from transition.campaign import now
from transition.errors import TransitionError
from transition.moodle.database import MoodleDatabase, open_engine
from transition.restore.scratch import checked_rows

DATABASE = "moodle_values"
BIG = 2**63 - 1
COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "big": mysql.BIGINT(), "small": mysql.SMALLINT(), "money": mysql.DECIMAL(10, 5),
    "long_money": mysql.DECIMAL(38, 19), "wide": mysql.DECIMAL(60, 20), "ratio": mysql.DOUBLE(),
    "measure": mysql.FLOAT(), "name": mysql.VARCHAR(255),
    "latin": mysql.VARCHAR(255, charset="latin1"), "exact": mysql.VARCHAR(255, collation="utf8mb4_bin"),
    "page": mysql.LONGTEXT(), "picture": mysql.LONGBLOB(), "courseid": mysql.BIGINT(),
}  # fmt: skip


@pytest.fixture(scope="module")
def values(server: PrivateMariaDB) -> Iterator[sa.Engine]:
    """A database with one Moodle-like table of every type, and a table of keys."""
    root = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with root.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    engine = open_engine(server.url(DATABASE))
    metadata = sa.MetaData()
    sa.Table("mdl_odd", metadata, sa.Column("id", mysql.BIGINT(), primary_key=True),
             *(sa.Column(name, kind) for name, kind in COLUMNS.items()), mysql_engine="InnoDB")  # fmt: skip
    sa.Table(
        "keys_odd", metadata, sa.Column("id", mysql.BIGINT(), primary_key=True), sa.Column("courseid", mysql.BIGINT())
    )
    metadata.create_all(engine)
    yield engine
    engine.dispose()
    root.dispose()
    drop_databases(server, {DATABASE})


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    limit = 10**digits - 1
    return st.integers(-limit, limit).map(lambda n: Decimal(n).scaleb(-places) if n else Decimal(0))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
ROW = st.fixed_dictionaries(
    {
        "big": st.none() | st.integers(-BIG - 1, BIG),
        "small": st.none() | st.integers(-(2**15), 2**15 - 1),
        "money": st.none() | decimals(10, 5),
        "long_money": st.none() | decimals(20, 19),
        "wide": st.none() | decimals(27, 20),
        "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
        "measure": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
        "name": st.none() | TEXT,
        "latin": st.none() | st.text(st.characters(codec="latin-1", min_codepoint=160), max_size=50),
        "exact": st.none() | TEXT,
        "page": st.none() | TEXT,
        "picture": st.none() | st.binary(max_size=200),
        "courseid": st.none() | st.integers(0, 9),
    }
)


def fill(engine: sa.Engine, spaces: dict[int, list[dict[str, Any]]]) -> None:
    """Put rows in, with ids that go up and down between the spaces."""
    with engine.begin() as connection:
        for table in ("mdl_odd", "keys_odd"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        number = 1000
        for space, rows in spaces.items():
            for row in rows:
                number -= 1
                names = ", ".join(("id", *row))
                marks = ", ".join(["%s"] * (len(row) + 1))
                connection.exec_driver_sql(f"INSERT INTO mdl_odd ({names}) VALUES ({marks})", (number, *row.values()))
                connection.exec_driver_sql("INSERT INTO keys_odd VALUES (%s, %s)", (number, space))


def keyed(connection: sa.Connection, engine: sa.Engine) -> Selected:
    consistent_snapshot(connection)
    keys = sa.Table("keys_odd", sa.MetaData(), sa.Column("id", sa.BigInteger), sa.Column("courseid", sa.BigInteger))
    return Selected.by_keys(connection, MoodleDatabase(engine, "mdl_")["odd"], keys)


def stored(engine: sa.Engine, space: int) -> list[tuple[Any, ...]]:
    """What the server holds; a FLOAT is read as DOUBLE, for the driver is sent six digits of a FLOAT only."""
    exact = ", ".join(f"`{name}` * 1e0" if name in ("ratio", "measure") else f"`{name}`" for name in COLUMNS)
    with engine.connect() as connection:
        query = f"SELECT o.id, {exact.replace('`courseid`', 'o.courseid')} FROM mdl_odd o JOIN keys_odd k USING (id)"
        return [tuple(row) for row in connection.exec_driver_sql(f"{query} WHERE k.courseid = {space} ORDER BY o.id")]


def as_set(folder: UPath, table: Any) -> BackupSet:
    return BackupSet(folder, Manifest(
        name="essai", platform="essai", site="", site_identifier="", year=2026, run_id="", moodle_release="",
        table_prefix="", rules="", created_at=now(), tables={"odd": table}, spaces={},
    ))  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spaces=st.dictionaries(st.integers(2, 50), st.lists(ROW, min_size=1, max_size=4), min_size=1, max_size=3))
def test_values_come_back_as_they_are(values: sa.Engine, spaces: dict[int, list[dict[str, Any]]]) -> None:
    fill(values, spaces)
    with tempfile.TemporaryDirectory() as name, values.connect() as connection:
        folder = UPath(name)
        source = keyed(connection, values)
        written = write_table(read_rows(source), folder / "odd.parquet")
        assert written.failures == {}
        assert written.file is not None
        assert read_back(folder / "odd.parquet", written.file) == []
        for space, rows in spaces.items():
            found = read_space(as_set(folder, written.file), "odd", space)
            assert found.column_names == ["id", *COLUMNS]
            back = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
            assert len(back) == len(rows)
            assert repr(back) == repr(stored(values, space))
    for row, stored_row in zip(spaces[min(spaces)][::-1], stored(values, min(spaces)), strict=True):
        # what was put in is what is stored: the comparison above is not between two equal mistakes
        assert stored_row[1:] == tuple(row[name] for name in COLUMNS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ROW, after=ROW)
def test_the_checksum_tells_two_rows_apart(values: sa.Engine, before: dict[str, Any], after: dict[str, Any]) -> None:
    seen = []
    for row in (before, after):
        fill(values, {5: [row]})
        with values.connect() as connection:
            seen.append((keyed(connection, values).states()[5].checksum, stored(values, 5)))
    assert (seen[0][0] == seen[1][0]) == (repr(seen[0][1]) == repr(seen[1][1]))


@pytest.mark.parametrize(
    ("column", "left", "right"),
    [("name", None, ""), ("name", "", "-"), ("name", None, "-"), ("big", None, 0), ("picture", None, b""),
     ("page", "é", "e"), ("exact", "a", "a "), ("picture", b"\x00", b"\x00\x00")],
)  # fmt: skip
def test_values_that_look_alike_have_other_checksums(values: sa.Engine, column: str, left: Any, right: Any) -> None:
    found = set()
    for value in (left, right):
        fill(values, {5: [{column: value}]})
        with values.connect() as connection:
            found.add(keyed(connection, values).states()[5].checksum)
    assert len(found) == 2


def test_values_that_trade_places_have_another_checksum(values: sa.Engine) -> None:
    found = set()
    for rows in (
        [{"name": "a", "page": "b"}, {"name": "c", "page": "d"}],
        [{"name": "a", "page": "d"}, {"name": "c", "page": "b"}],
    ):
        fill(values, {5: rows})
        with values.connect() as connection:
            found.add(keyed(connection, values).states()[5].checksum)
    assert len(found) == 2


def test_a_changed_bit_is_refused_or_changes_no_row(values: sa.Engine) -> None:
    fill(values, {5: [{"name": "a", "money": Decimal("1.5")}, {"picture": b"b"}], 6: [{"ratio": 1.5}]})
    with tempfile.TemporaryDirectory() as name, values.connect() as connection:
        written = write_table(read_rows(keyed(connection, values)), UPath(name) / "odd.parquet")
        path, backup, chosen = Path(name) / "odd.parquet", as_set(UPath(name), written.file), random.Random(1)
        content, refused = path.read_bytes(), 0
        good = {space: list(checked_rows(backup, "odd", space)) for space in (5, 6)}
        for _ in range(250):
            altered, place = bytearray(content), chosen.randrange(len(content))
            altered[place] ^= 1 << chosen.randrange(8)
            path.write_bytes(altered)
            for space, rows in good.items():
                try:
                    assert list(checked_rows(backup, "odd", space)) == rows
                except TransitionError:
                    refused += 1
        assert refused > 125


def test_huge_texts_are_written_a_few_at_a_time(values: sa.Engine) -> None:
    fill(
        values,
        {5: [{"page": str(n) * 3_000_000, "picture": bytes([n]) * 1_000_000} for n in range(5)], 6: [{"page": "x"}]},
    )
    with tempfile.TemporaryDirectory() as name, values.connect() as connection:
        folder = UPath(name)
        source = keyed(connection, values)
        rows = read_rows(source)
        written = write_table(rows, folder / "odd.parquet")
        assert written.file is not None
        assert [len(written.file.spaces[space].groups) for space in (5, 6)] == [3, 1]
        assert read_back(folder / "odd.parquet", written.file) == []
        texts = read_space(as_set(folder, written.file), "odd", 5)["page"].to_pylist()
    assert texts == [str(n) * 3_000_000 for n in reversed(range(5))]


@given(left=st.lists(TEXT | st.none(), max_size=4), right=st.lists(TEXT | st.none(), max_size=4))
def test_the_content_digest_delimits_its_values(left: list[str | None], right: list[str | None]) -> None:
    digests = []
    for column in (left, right):
        content = Content()
        content.add(Values([pa.chunked_array([column], pa.string())]), slice(0, len(column)))
        digests.append(str(content))
    assert (digests[0] == digests[1]) == (left == right)


def test_what_is_written_meanwhile_is_not_mixed_in(values: sa.Engine) -> None:
    fill(values, {5: [{"name": "a"}], 6: [{"name": "b"}]})
    with tempfile.TemporaryDirectory() as name, values.connect() as connection:
        folder = UPath(name)
        source = keyed(connection, values)
        rows = read_rows(source)
        with values.begin() as other:
            other.exec_driver_sql("UPDATE mdl_odd SET name = 'plus tard'")
            other.exec_driver_sql("DELETE FROM mdl_odd LIMIT 1")
        written = write_table(rows, folder / "odd.parquet")
        assert written.file is not None
        found = read_space(as_set(folder, written.file), "odd", 5)["name"].to_pylist()
        assert found == ["a"]
        states = {courseid: (state.rows, state.checksum) for courseid, state in source.states().items()}
        assert states == {courseid: (own.rows, own.checksum) for courseid, own in written.file.spaces.items()}
