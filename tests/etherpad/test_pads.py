"""The pads of a Moodle, saved and emptied on a server: once, by halves, and with pads that fail."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import drop_databases
from tests.support.campaign import reference_platform
from tests.support.etherpad_server import PadServer, pad_server
from transition.campaign import Campaign
from transition.errors import TransitionError, UnreachableError
from transition.etherpad import client, pads
from transition.etherpad.client import Etherpad
from transition.moodle.database import open_engine
from transition.state import tables

SCHEMAS = {"moodle_pads", "pads_transition"}
STATE = [tables.run, tables.decision, tables.pad, tables.journal]
TABLES = [
    "CREATE TABLE mdl_etherpadlite (id BIGINT PRIMARY KEY, course BIGINT, uri VARCHAR(200))",
    "CREATE TABLE mdl_etherpadlite_mgroups (id BIGINT PRIMARY KEY, padid BIGINT, groupid BIGINT)",
    "INSERT INTO mdl_etherpadlite VALUES (1, 10, 'g.a$pad'), (2, 20, 'libre'), (3, 30, 'g.c$pad'), (4, 10, '')",
    "INSERT INTO mdl_etherpadlite_mgroups VALUES (1, 1, 7), (2, 3, 8)",
]
# Course 30 is excluded. g.a$pad9 is the pad of a group that is gone.
IN_SCOPE, EXCLUDED = ("g.a$pad", "g.a$pad7", "g.a$pad9", "libre"), ("g.c$pad", "g.c$pad8")

Open = Callable[..., Campaign]


@pytest.fixture
def pad_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[PadServer]:
    monkeypatch.setattr(client, "_RETRY", client._RETRY.new(total=1, backoff_factor=0))
    with pad_server() as state:
        for pad in (*IN_SCOPE, *EXCLUDED):
            state.write(pad, f"réponse dans {pad}", chat="à demain")
        yield state


@pytest.fixture
def campaigns(server: PrivateMariaDB, pad_host: PadServer, tmp_path: Path) -> Iterator[Open]:
    """Opens a run, with decisions on three spaces, whose pads are recorded."""
    drop_databases(server, SCHEMAS)
    with sa.create_engine(server.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        for name in sorted(SCHEMAS):
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine = open_engine(server.url("moodle_pads"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in TABLES:
            connection.execute(sa.text(statement))
    connections = {"moodle": "m", "apogee": "a", "etherpad": "e"}
    platform = reference_platform(tmp_path / "stockage", name="pads", connections=connections)

    def open_run(run_id: str = "un") -> Campaign:
        campaign = Campaign(
            platform, 2026, run_id, engine, etherpad=Etherpad(pad_host.url, pad_host.key), dry_run=False
        )
        tables.metadata.create_all(campaign.engine, tables=STATE)
        decided = [(10, "LI3INF01", "reset"), (20, "UE/2", "archive"), (30, "ESPCOMP01", "exclude")]
        with campaign.engine.begin() as connection:
            for courseid, code, decision in decided:
                values = {"shortname": code, "fullname": code, "category": "", "reason": ""}
                connection.execute(
                    sa.insert(tables.decision).values(
                        run=campaign.run, courseid=courseid, code=code, decision=decision,
                        in_scope=decision != "exclude", **values,
                    )
                )  # fmt: skip
        pads.record(campaign)
        return campaign

    yield open_run
    drop_databases(server, SCHEMAS)


def saved(campaign: Campaign, name: str) -> list[str]:
    folder = Path(campaign.platform.storage) / "pads" / "2026" / "pads"
    return sorted(path.read_text(encoding="utf-8") for path in folder.rglob(name))


def journalled(campaign: Campaign, action: str) -> list[tuple[Any, ...]]:
    entry = tables.journal.c
    columns = (entry.courseid, entry.rows_before, entry.rows_moved, entry.rows_after)
    with campaign.engine.connect() as connection:
        query = sa.select(*columns).where(entry.run == campaign.run, entry.action == action).order_by(entry.courseid)
        return [tuple(row) for row in connection.execute(query)]


def test_pads_in_scope_are_saved_emptied_and_journalled(campaigns: Open, pad_host: PadServer) -> None:
    pad_host.pads["g.a$pad"].public = True
    untouched = {pad: replace(pad_host.pads[pad]) for pad in EXCLUDED}
    campaign = campaigns()
    assert pads.planned(campaign) == {10: 3, 20: 1}
    assert pads.empty(campaign) == 4
    assert {pad_host.pads[pad].text for pad in IN_SCOPE} == {"\n"}
    assert {(pad_host.pads[pad].revisions, len(pad_host.pads[pad].chat)) for pad in IN_SCOPE} == {(0, 0)}
    assert [pad_host.pads[pad].public for pad in IN_SCOPE] == [True, False, False, False]
    assert {pad: pad_host.pads[pad] for pad in EXCLUDED} == untouched
    assert saved(campaign, "texte.txt") == sorted(f"réponse dans {pad}\n" for pad in IN_SCOPE)
    assert len(saved(campaign, "page.html")) == 4
    assert all("à demain" in chat for chat in saved(campaign, "conversation.json"))
    assert {json.loads(facts)["pad"] for facts in saved(campaign, "pad.json")} == set(IN_SCOPE)
    assert journalled(campaign, "emptied") == [(10, 3, 3, 0), (20, 1, 1, 0)]
    assert list(pads.left(campaign)) == []


def test_twice_is_once(campaigns: Open, pad_host: PadServer) -> None:
    campaign = campaigns()
    pads.empty(campaign)
    pad_host.write("g.a$pad", "la rentrée")
    assert pads.empty(campaign) == 4
    assert pad_host.pads["g.a$pad"].text == "la rentrée\n"
    assert len(saved(campaign, "texte.txt")) == 4
    assert journalled(campaign, "emptied") == [(10, 3, 3, 0), (20, 1, 1, 0)]
    assert list(pads.left(campaign)) == ["espace 10 : le pad g.a$pad n'est pas vide"]


def test_an_empty_pad_never_replaces_what_was_saved(campaigns: Open, pad_host: PadServer) -> None:
    first = campaigns()
    pads.empty(first)
    before = saved(first, "texte.txt")
    again = campaigns("deux")
    pads.empty(again)
    assert saved(again, "texte.txt") == before


@pytest.mark.parametrize("failure", ["500", "page", "hangs up"])
def test_a_failing_pad_does_not_stop_the_others(campaigns: Open, pad_host: PadServer, failure: str) -> None:
    campaign = campaigns()
    pad_host.broken["g.a$pad"] = failure
    with pytest.raises(UnreachableError, match="vidés : 1 sur 4"):
        pads.empty(campaign)
    assert [pad_host.pads[pad].text.strip() for pad in IN_SCOPE] == ["réponse dans g.a$pad", "", "", ""]
    assert journalled(campaign, "left") == [(10, 3, 2, 1)]
    assert journalled(campaign, "emptied") == [(20, 1, 1, 0)]
    pad_host.broken.clear()
    assert any("3 pads prévus, 0 vidés" in finding for finding in pads.left(campaign))
    assert pads.empty(campaign) == 4
    assert journalled(campaign, "emptied") == [(10, 3, 3, 0), (20, 1, 1, 0)]
    assert list(pads.left(campaign)) == []


def test_a_silent_server_is_given_up(campaigns: Open, pad_host: PadServer) -> None:
    campaign = campaigns()
    pad_host.broken |= dict.fromkeys(IN_SCOPE, "hangs up")
    with pytest.raises(UnreachableError, match="vidés : 4 sur 4"):
        pads.empty(campaign)
    assert not any("libre" in body.split()[1] for body in pad_host.bodies if "getText" in body)


@pytest.mark.parametrize("run_id", ["un", "deux"])
@pytest.mark.parametrize("dies_at", ["delete", "create"])
def test_killed_between_two_calls_it_resumes(
    campaigns: Open, pad_host: PadServer, monkeypatch: pytest.MonkeyPatch, dies_at: str, run_id: str
) -> None:
    pad_host.pads["g.a$pad"].public = True
    first = campaigns()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Etherpad, dies_at, die)
        with pytest.raises(KeyboardInterrupt):
            pads.empty(first)
    assert ("g.a$pad" in pad_host.pads) == (dies_at == "delete")
    campaign = campaigns(run_id) if run_id != "un" else first
    pads.empty(campaign)
    assert {pad_host.pads[pad].text for pad in IN_SCOPE} == {"\n"}
    assert pad_host.pads["g.a$pad"].public
    assert saved(campaign, "texte.txt") == sorted(f"réponse dans {pad}\n" for pad in IN_SCOPE)


def test_nothing_is_deleted_when_saving_fails(
    campaigns: Open, pad_host: PadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = campaigns()
    monkeypatch.setattr("transition.storage.sha256", lambda _: "autre")
    with pytest.raises(TransitionError, match="ne se relit pas à l'identique"):
        pads.empty(campaign)
    assert pad_host.calls["deletePad"] == 0


def test_a_pad_that_is_being_written_is_left(
    campaigns: Open, pad_host: PadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = campaigns()
    read = Etherpad.content

    def content(self: Etherpad, pad: str) -> Any:
        found = read(self, pad)
        if pad == "g.a$pad":
            pad_host.write(pad, "encore un mot")
        return found

    monkeypatch.setattr(Etherpad, "content", content)
    with pytest.raises(UnreachableError):
        pads.empty(campaign)
    assert pad_host.pads["g.a$pad"].text == "encore un mot\n"


def test_a_pad_that_the_server_never_had_is_not_created(campaigns: Open, pad_host: PadServer) -> None:
    del pad_host.pads["libre"]
    campaign = campaigns()
    assert pads.empty(campaign) == 4
    assert "libre" not in pad_host.pads


def test_without_a_server_the_plan_says_what_stays(campaigns: Open, pad_host: PadServer) -> None:
    campaign = campaigns()
    assert (
        pads.sentence(campaign)
        == "Etherpad : 4 pads dans 2 espaces, à sauvegarder puis à vider sur le serveur Etherpad."
    )
    connections = campaign.platform.connections.model_copy(update={"etherpad": None})
    platform = campaign.platform.model_copy(update={"connections": connections})
    without = replace(campaign, platform=platform, run_id="sans", etherpad=None)
    with without.engine.begin() as connection:
        columns = [column for column in tables.decision.c if column.name != "run"]
        copied = sa.select(sa.literal(without.run), *columns).where(tables.decision.c.run == campaign.run)
        connection.execute(sa.insert(tables.decision).from_select(["run", *(c.name for c in columns)], copied))
    pads.record(without)
    assert "3 pads dans 2 espaces, dont le contenu reste" in pads.sentence(
        without
    )  # the fourth: the server knows it only
    assert pads.empty(without) == 0
    assert journalled(without, "skipped") == [(None, 3, 0, 3)]
    assert list(pads.left(without)) == []
    assert pad_host.calls["deletePad"] == 0


def test_preflight_tells_a_server_that_is_away(campaigns: Open) -> None:
    campaign = campaigns()
    assert list(pads.check_server(campaign)) == []
    away = replace(campaign, etherpad=Etherpad("http://127.0.0.1:9", "clé"))
    [finding] = pads.check_server(away)
    assert "ne répond pas" in finding
