"""Which spaces are due on a day, on the courses of the real platform: what hides one, and what must not."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.calendars.test_form import ask, engineer  # noqa: F401  (a fixture)
from tests.support.campaign import MODELLED
from tests.support.feed import element, registrations, write_year
from tests.test_decisions import campaign, feed  # noqa: F401  (a fixture)
from transition import journal
from transition.apogee.calendar import EARLY
from transition.apogee.stage import apogee_sync
from transition.calendars.due import due_spaces
from transition.campaign import Campaign, now
from transition.decisions import detect_missing
from transition.errors import TransitionError
from transition.state import tables

ELEMENTS = [*(element(code) for code in MODELLED), element("PORTE", code_porteur="L1MAT101")]


def august(engineer: Campaign, *exceptions: Mapping[str, Any]) -> None:  # noqa: F811
    """The run of August, let loose, with those exceptions in the feed."""
    feed(engineer, lot=9, element=ELEMENTS, exception_calendrier=exceptions)
    run = replace(engineer, run_id="august", day=date(2026, 8, 16), dry_run=False)
    apogee_sync(run)
    detect_missing(run)
    with engineer.engine.begin() as connection:
        connection.execute(sa.update(tables.run).where(tables.run.c.number == run.run).values(frozen_at=now()))


def due(engineer: Campaign, day: date) -> list[tuple[int, tuple[str, ...]]]:  # noqa: F811
    """Year and codes of what is due that day."""
    return [(found.year, found.codes) for found in due_spaces(replace(engineer, day=day))]


def test_the_next_years_snapshot_of_the_model_hides_no_exception(engineer: Campaign) -> None:  # noqa: F811
    """July 2027: a dry run of 2027, whose source gives of 2026 the model alone, as Pégase and a gateway do."""
    august(engineer, {"cible_type": "cours", "cible": "M2CHI305", "type": "decale", "fin": "2027-10-05"})
    assert due(engineer, date(2027, 7, 6)) == []
    assert isinstance(engineer.feed, Path)
    shutil.rmtree(engineer.feed / "2026")
    write_year(engineer.feed, 2026, {"element": ELEMENTS}, only=("element",))
    manifest = engineer.feed / "2026" / "lot.csv"
    text = manifest.read_text("utf-8").replace("apogee-2026", "snapshot").replace("2026-08-14T", "2027-07-05T")
    manifest.write_text(text, "utf-8")
    write_year(engineer.feed, 2027, {"element": ELEMENTS, **registrations({"LI3INF01": ["22600001"]})})
    apogee_sync(replace(engineer, year=2027, run_id="dry"))
    assert due(engineer, date(2027, 7, 6)) == []
    assert due(engineer, date(2027, 10, 5)) == [(2026, ("M2CHI305",))]


def test_an_early_opening_is_due_in_the_week_before_it(engineer: Campaign) -> None:  # noqa: F811
    opening = date(2026, 8, 24)
    shown = ask(engineer, "one", cible_type="element", cible="PORTE", type="ouverture_precoce", debut=str(opening))
    assert "réinitialisé avant le 24/08/2026" in shown
    nights = {day: due_spaces(replace(engineer, day=day)) for day in (opening - EARLY, date(2026, 8, 23))}
    for found in nights.values():
        [due] = found
        assert (due.year, due.codes) == (2026, ("L1MAT101",)), "the space that hosts the element"
    assert due_spaces(replace(engineer, day=date(2026, 8, 16))) == []
    assert due_spaces(replace(engineer, day=opening)) == [], "open: a person must look"
    assert due_spaces(replace(engineer, day=date(2026, 8, 23)), year=2025) == []
    with engineer.engine.begin() as connection:  # the campaign of a later year reset it already
        done = {"year": 2027, "courseid": 4, "run": engineer.run, "verified_at": now()}
        connection.execute(sa.insert(tables.space_reset).values(done))
    assert due_spaces(replace(engineer, day=date(2026, 8, 23))) == []
    with engineer.engine.begin() as connection:
        connection.execute(sa.delete(tables.space_reset).where(tables.space_reset.c.courseid == 4))
    assert due_spaces(replace(engineer, day=date(2026, 8, 23)))
    with engineer.engine.begin() as connection:  # nor is one that a restore brought back
        journal.record(connection, engineer, "restore", "whole", courseid=4)
    assert due_spaces(replace(engineer, day=date(2026, 8, 23))) == []
    next_year = replace(engineer, year=2027, day=date(2027, 6, 1))
    ask(next_year, "next", cible_type="cours", cible="LETL2H03", type="ouverture_precoce", debut="2027-08-20")
    with pytest.raises(TransitionError, match=r"aucun lot Apogée de 2027 n'est\s+chargé"):
        due_spaces(replace(engineer, day=date(2027, 8, 19)))
