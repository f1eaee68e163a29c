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
from tests.test_decisions import campaign, feed, moodle  # noqa: F401  (a fixture)
from transition import journal
from transition.apogee.calendar import EARLY
from transition.apogee.stage import apogee_sync
from transition.calendars.due import Night, due_spaces
from transition.calendars.table import calendar_table
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
    return [(found.year, found.codes) for found in due_spaces(replace(engineer, day=day)).due]


def undecided(engineer: Campaign, day: date) -> tuple[str, ...]:  # noqa: F811
    """What waits for a person that day."""
    return due_spaces(replace(engineer, day=day)).undecided


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


def test_a_deferred_space_on_hold_at_its_date_is_told_every_night(engineer: Campaign) -> None:  # noqa: F811
    """Its teacher hides it when it closes: a person must look, and must know."""
    august(
        engineer,
        {"cible_type": "cours", "cible": "M2CHI305", "type": "decale", "fin": "2026-11-30"},
        {"cible_type": "cours", "cible": "M1DRO201", "type": "decale", "fin": "2026-11-30"},
    )
    moodle(engineer, "UPDATE mdl_course SET visible = 0 WHERE idnumber = 'M2CHI305'")
    assert due_spaces(replace(engineer, day=date(2026, 11, 29))) == Night()
    for day in (date(2026, 11, 30), date(2027, 3, 1)):
        assert due(engineer, day) == [(2026, ("M1DRO201",))], "the other one goes on"
        (sentence,) = undecided(engineer, day)
        assert sentence.startswith("M2CHI305 (2026-2027), dont la date est venue : dans la maquette 2026, mais caché")
    shown = calendar_table(replace(engineer, day=date(2026, 11, 30)))
    assert "           M2CHI305 en attente : dans la maquette 2026, mais caché" in shown
    assert "M1DRO201 en attente" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "en attente" not in calendar_table(replace(engineer, day=date(2026, 11, 29)))
    ask(replace(engineer, day=date(2026, 12, 1)), "by hand", cible_type="cours", cible="M2CHI305", type="exclu")
    assert undecided(engineer, date(2026, 12, 1)) == ()


def test_a_year_that_cannot_be_decided_keeps_no_other_waiting(engineer: Campaign) -> None:  # noqa: F811
    august(engineer, {"cible_type": "cours", "cible": "M2CHI305", "type": "decale", "fin": "2027-07-05"})
    next_year = replace(engineer, year=2027, day=date(2027, 6, 1))
    ask(next_year, "next", cible_type="cours", cible="LETL2H03", type="ouverture_precoce", debut="2027-07-10")
    for day in (date(2027, 7, 6), date(2027, 7, 10), date(2027, 7, 11)):
        assert due(engineer, day) == [(2026, ("M2CHI305",))]
        (sentence,) = undecided(engineer, day)
        assert sentence.startswith("Année 2027-2028 : Des espaces ouvrent avant le 1er septembre 2027")
        assert due_spaces(replace(engineer, day=day), year=2026).undecided == ()
    # A space that has an entry is deleted in Moodle: nothing of 2026 can be decided, and that is said.
    ask(engineer, "one", cible_type="cours", cible="ESPCOMP01", type="exclu")
    moodle(engineer, "DELETE FROM mdl_course WHERE idnumber = 'ESPCOMP01'")
    found = due_spaces(replace(engineer, day=date(2027, 7, 6)))
    assert found.due == ()
    assert ["Année 2027-2028" in found.undecided[0], "« ESPCOMP01 » inconnu" in found.undecided[1]] == [True, True]
    assert "« ESPCOMP01 » inconnu" in calendar_table(engineer)
    # Without the deciding categories no year can be.
    moodle(engineer, "DELETE FROM mdl_course_categories WHERE idnumber = 'ARCHIVES'")
    with pytest.raises(TransitionError, match=r"categories\.archives"):
        due_spaces(replace(engineer, day=date(2027, 7, 6)))


def test_two_years_take_turns(engineer: Campaign) -> None:  # noqa: F811
    """A newer year whose run fails every night does not starve the older one."""
    august(engineer, {"cible_type": "cours", "cible": "M2CHI305", "type": "decale", "fin": "2027-07-05"})
    assert isinstance(engineer.feed, Path)
    people = registrations({"LI3INF01": ["22600001"]})
    opening = {"cible_type": "cours", "cible": "LETL2H03", "type": "ouverture_precoce", "debut": "2027-07-12"}
    write_year(engineer.feed, 2027, {"element": ELEMENTS, "exception_calendrier": [opening], **people})
    apogee_sync(replace(engineer, year=2027, run_id="dry"))
    nights = [[year for year, _ in due(engineer, date(2027, 7, day))] for day in (6, 7, 8)]
    assert nights[0] == nights[2] == nights[1][::-1]
    assert sorted(nights[0]) == [2026, 2027]


def test_an_early_opening_is_due_in_the_week_before_it(engineer: Campaign) -> None:  # noqa: F811
    opening = date(2026, 8, 24)
    shown = ask(engineer, "one", cible_type="element", cible="PORTE", type="ouverture_precoce", debut=str(opening))
    assert "réinitialisé avant le 24/08/2026" in shown
    nights = {day: due(engineer, day) for day in (opening - EARLY, date(2026, 8, 23))}
    for found in nights.values():
        assert found == [(2026, ("L1MAT101",))], "the space that hosts the element"
    assert due_spaces(replace(engineer, day=date(2026, 8, 16))) == Night()
    for day in (opening, date(2026, 12, 31)):
        assert due(engineer, day) == [], "open: a person must look"
        (sentence,) = undecided(engineer, day)
        assert sentence.startswith("L1MAT101 (2026-2027), dont la date est venue : déjà ouvert depuis le 24/08/2026")
    assert due_spaces(replace(engineer, day=date(2027, 1, 1))) == Night()
    assert due_spaces(replace(engineer, day=date(2026, 8, 23)), year=2025) == Night()
    with engineer.engine.begin() as connection:  # the campaign of a later year reset it already
        done = {"year": 2027, "courseid": 4, "run": engineer.run, "verified_at": now()}
        connection.execute(sa.insert(tables.space_reset).values(done))
    assert due_spaces(replace(engineer, day=date(2026, 8, 23))) == Night()
    with engineer.engine.begin() as connection:
        connection.execute(sa.delete(tables.space_reset).where(tables.space_reset.c.courseid == 4))
    assert due(engineer, date(2026, 8, 23))
    with engineer.engine.begin() as connection:  # nor is one that a restore brought back
        journal.record(connection, engineer, "restore", "whole", courseid=4)
    assert due_spaces(replace(engineer, day=date(2026, 8, 23))) == Night()
