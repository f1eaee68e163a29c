"""The catalogue of facts, held against the server that builds from it and against the real Moodle schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.catalogue import create_tables, facts_of, read_catalogue, write_catalogue
from demo.server import PrivateMariaDB


@pytest.fixture
def empty(server: PrivateMariaDB) -> Iterator[sa.Connection]:
    engine = sa.create_engine(server.url(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE catalogue_try")
        connection.exec_driver_sql("USE catalogue_try")
        yield connection
        connection.exec_driver_sql("DROP DATABASE catalogue_try")


def test_tables_made_from_the_facts_have_these_facts(empty: sa.Connection) -> None:
    create_tables(empty, "m_")
    made = facts_of(empty, "m_")
    assert len(made) == 566
    assert made == read_catalogue()


def test_the_facts_are_those_of_the_real_schema(reference_moodle: sa.Engine) -> None:
    with reference_moodle.connect() as connection:
        assert facts_of(connection) == read_catalogue()


def test_every_column_of_the_published_list_is_known(reference: Path) -> None:
    listed = [line.split("\t") for line in (reference / "columns-4.5.6.tsv").read_text().splitlines()]
    known = {(table.name, column.name, column.type) for table in read_catalogue().values() for column in table.columns}
    assert {(row[0].removeprefix("mdl_"), row[1], row[2]) for row in listed if row[0].startswith("mdl_")} == known


def test_facts_survive_the_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tsv"
    write_catalogue(read_catalogue().values(), copy)
    assert read_catalogue(copy) == read_catalogue()


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tsv"
    wrong.write_text("column\tid\tbigint(10)\tnot null\t-\tauto\n")
    with pytest.raises(ValueError, match="before the first table"):
        read_catalogue(wrong)


@pytest.mark.parametrize(
    ("table", "column", "filler"),
    [("user", "deleted", 0), ("user", "lang", "en"), ("user", "idnumber", ""), ("user", "description", None),
     ("assign", "grade", 0), ("question", "penalty", 0.3333333), ("assign_overrides", "userid", None)],
)  # fmt: skip
def test_a_row_that_says_nothing_of_a_column(table: str, column: str, filler: object) -> None:
    fact = next(fact for fact in read_catalogue()[table].columns if fact.name == column)
    assert fact.filler == filler
