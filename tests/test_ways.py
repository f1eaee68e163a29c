"""Which way a table goes: the choice, and what forbids a swap."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from demo.server import PrivateMariaDB
from tests.support.campaign import reference_platform
from transition import ways
from transition.campaign import Campaign
from transition.moodle.database import open_engine, quoted
from transition.ways import CHUNKS, SWAP, TableFacts, choose


@pytest.fixture
def campaign(real_moodle: sa.Engine, tmp_path: Path) -> Campaign:
    campaign = Campaign(reference_platform(tmp_path, name="ways"), 2026, "ways", real_moodle, dry_run=False)
    with campaign.server.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {campaign.archive_schema}"))
    return campaign


def obstacle(campaign: Campaign, name: str, rule: str) -> str:
    """Why a table of which all rows go is not swapped; '' if it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "SWAP_ROWS", 1)
        way = ways.choose_all(campaign, {(rule, name, 2): 10_000_000})[name]
    assert (way.way == SWAP) == (way.reason == "100 % des lignes partent")
    return way.reason.removeprefix("100 % des lignes partent")


def test_what_forbids_a_swap(campaign: Campaign, server: PrivateMariaDB) -> None:
    name, rule = "wiki_locks", "wiki"
    moodle = quoted(campaign.moodle.schema).replace("_", r"\_")  # in a grant, _ stands for any character
    table, archive = quoted(campaign.moodle[name]), campaign.archive_schema
    assert obstacle(campaign, name, rule) == ""
    assert "l'inscription y écrit aussi" in obstacle(campaign, "user_enrolments", "enrolment")
    with campaign.engine.connect() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} MODIFY id INT NOT NULL AUTO_INCREMENT"))
        assert "ses identifiants ne sont pas de type BIGINT" in obstacle(campaign, name, rule)
        connection.execute(sa.text(f"ALTER TABLE {table} MODIFY id BIGINT NOT NULL AUTO_INCREMENT"))
        connection.execute(sa.text(f"CREATE TRIGGER follows AFTER DELETE ON {table} FOR EACH ROW SET @a = 1"))
        assert "un déclencheur (TRIGGER) la suit" in obstacle(campaign, name, rule)
        connection.execute(sa.text("DROP TRIGGER follows"))
        connection.execute(sa.text("CREATE TABLE linked (id BIGINT PRIMARY KEY)"))
        connection.execute(sa.text("SET SESSION foreign_key_checks = 0"))
        connection.execute(
            sa.text(f"ALTER TABLE {table} ADD CONSTRAINT link FOREIGN KEY (pageid) REFERENCES linked (id)")
        )
        assert "une clé étrangère la lie" in obstacle(campaign, name, rule)
        connection.execute(sa.text(f"ALTER TABLE {table} DROP FOREIGN KEY link"))
        connection.execute(sa.text("DROP TABLE linked"))
        connection.execute(sa.text("SET SESSION foreign_key_checks = 1"))
        connection.execute(sa.text(f"CREATE TABLE {archive}.mdl_{name} LIKE {table}"))
        assert obstacle(campaign, name, rule) == "", "an empty archive table is in nobody's way"
        connection.execute(sa.text(f"INSERT INTO {archive}.mdl_{name} (id) VALUES (1)"))
        connection.commit()
        assert "l'archive de l'année a déjà des lignes" in obstacle(campaign, name, rule)
        connection.execute(sa.text(f"DROP TABLE {archive}.mdl_{name}"))
        connection.execute(sa.text("CREATE USER 'limited'@'127.0.0.1' IDENTIFIED BY 'secret'"))
        connection.execute(sa.text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {moodle}.* TO 'limited'@'127.0.0.1'"))
        connection.execute(sa.text("GRANT ALL ON `ways\\_%`.* TO 'limited'@'127.0.0.1'"))
    url = server.url(campaign.moodle.schema).set(username="limited", password="secret")
    limited = Campaign(campaign.platform, 2026, "ways", open_engine(url, poolclass=sa.NullPool), dry_run=False)
    assert "n'a pas les droits ALTER, CREATE, DROP, TRIGGER sur" in obstacle(limited, name, rule)
    with campaign.engine.connect() as connection:
        connection.execute(sa.text(f"GRANT ALTER, CREATE, DROP ON {moodle}.* TO 'limited'@'127.0.0.1'"))
        assert "n'a pas les droits" in obstacle(limited, name, rule), "MySQL would not show it a trigger"
        connection.execute(sa.text(f"GRANT TRIGGER ON {moodle}.* TO 'limited'@'127.0.0.1'"))
        assert obstacle(limited, name, rule) == ""
        connection.execute(sa.text("DROP USER 'limited'@'127.0.0.1'"))


def test_the_choice() -> None:
    assert choose(TableFacts(8_400_000, 8_000_000, "")) == ways.Way(SWAP, "95 % des lignes partent")
    assert choose(TableFacts(8_400_000, 8_000_000, "un déclencheur (TRIGGER) la suit")).way == CHUNKS
    assert choose(TableFacts(8_000_000, 4_000_000, "")) == ways.Way(CHUNKS, "50 % des lignes partent")
    assert choose(TableFacts(40_000, 40_000, "")).way == CHUNKS


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["", "obstacle"]))
def test_only_a_large_table_almost_all_of_whose_rows_go_is_swapped(rows: int, moved: int, obstacle: str) -> None:
    way = choose(TableFacts(rows, moved, obstacle)).way
    expected = moved >= ways.SWAP_ROWS and moved >= ways.SWAP_SHARE * max(rows, moved) and not obstacle
    assert (way == SWAP) == expected
