"""The workbook of a grade export and the tables of reports: what their cells hold, and what they never are."""

from datetime import datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transition import workbook
from transition.gradebook import Grade, Item, Person, shown


def item(**more: Any) -> Item:
    facts = {"id": 1, "name": "Devoir : TP", "gradetype": 1, "lowest": Decimal(0), "highest": Decimal(20), "scale": ()}
    return Item(**{**facts, **more})


SCALED = item(gradetype=2, lowest=Decimal(1), highest=Decimal(3), scale=("Non", "En cours", "Oui"))


def person(number: int = 1, *identity: str) -> Person:
    return Person(number, identity or ("Ada", "Byron", "1", "", "", "ada@example.org"), "")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (item(), Decimal("12.34567"), 12.34567), (item(), None, "-"), (item(gradetype=3), Decimal(3), ""),
        (item(gradetype=0), None, ""), (item(gradetype=2), Decimal(1), "Erreur"),
        (SCALED, Decimal(1), "Non"), (SCALED, Decimal(2), "En cours"), (SCALED, Decimal(3), "Oui"),
        (SCALED, Decimal(4), "Oui"), (SCALED, Decimal(0), "Non"), (SCALED, Decimal("2.6"), "En cours"),
    ],
)  # fmt: skip
def test_a_grade_is_shown_as_moodle_shows_it(column: Item, value: Decimal | None, expected: float | str) -> None:
    assert shown(column, Grade(value, "")) == expected


@pytest.mark.parametrize(
    "text", ["=1+1", '=HYPERLINK("http://example.org")', "+1", "-1", "@SUM(A1)", "{=1}", "http://x.y"]
)
def test_text_is_never_a_formula_nor_a_link(text: str) -> None:
    content, *_ = workbook.build(
        [item(name=text)], [(person(1, text, "", "", "", "", ""), {1: Grade(None, text)})], 0, 2
    )
    cells = [
        cell
        for row in openpyxl.load_workbook(BytesIO(content)).active.iter_rows()
        for cell in row
        if cell.value is not None
    ]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.value for cell in cells].count(text) == 2
    assert all(cell.hyperlink is None for cell in cells)


XML = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")


@settings(max_examples=50, deadline=None)
@given(
    names=st.lists(st.text(XML, min_size=1, max_size=30), min_size=1, max_size=3),
    marks=st.lists(st.decimals(-99999, 99999, places=5), min_size=1, max_size=5),
    said=st.text(XML, max_size=60),
)
def test_a_workbook_reads_back_as_it_was_built(names: list[str], marks: list[Decimal], said: str) -> None:
    items = [item(id=number, name=name) for number, name in enumerate(names)]
    rows = [(person(n), {column.id: Grade(mark, said) for column in items}) for n, mark in enumerate(marks)]
    content, *counts = workbook.build(items, rows, 1_700_000_000, 2)
    assert tuple(counts) == workbook.count(BytesIO(content))
    headings, *found = openpyxl.load_workbook(BytesIO(content)).active.iter_rows(values_only=True)
    assert list(headings[7:-1:2]) == [f"{name} (Brut)" for name in names]
    assert [row[7] for row in found] == [pytest.approx(float(mark), abs=1e-9) for mark in marks]
    assert {row[8] or "" for row in found} == {said}


def test_what_excel_refuses_is_cut_and_cleaned() -> None:
    content, *counts = workbook.build([item()], [(person(), {1: Grade(None, "a\x00\x0b" + "é" * 40_000)})], 0, 2)
    assert tuple(counts) == workbook.count(BytesIO(content))
    said = openpyxl.load_workbook(BytesIO(content)).active.cell(2, 9).value
    assert len(said) == 32_767
    assert said.startswith("aéé")
    assert said.endswith("é […]")


def test_a_table_has_headings_filters_numbers_dates_and_never_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_SHEET_ROWS", 4)
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "a\x00b", "é" * 40_000, "http://x.y"]
    moment = datetime(2026, 8, 16, 2, 0)
    rows = [(text, number, moment, None) for number, text in enumerate(texts)]
    columns = {"Nom": 20, "Nombre": 10, "Date": 18, "Vide": 5}
    memory = BytesIO()
    with workbook.new_book(memory) as book:
        count = workbook.add_table(book, workbook.Table("Liste", columns, rows, ["=Titre"], ("Total", 21)))
    found = openpyxl.load_workbook(memory)
    assert (count, found.sheetnames) == (7, ["Liste", "Liste (2)"])
    cells = []
    for sheet in found:
        assert (sheet["A1"].value, sheet["A1"].data_type, sheet.freeze_panes) == ("=Titre", "s", "A3")
        assert [cell.value for cell in sheet[2]] == list(columns)
        assert sheet.column_dimensions["A"].width == pytest.approx(20, abs=1)
        cells += list(sheet.iter_rows(min_row=3))
    assert found["Liste"].auto_filter.ref == "A2:D6"
    *listed, total = cells
    assert [row[0].value for row in listed[:4]] == texts[:4]
    assert {row[0].data_type for row in listed} == {"s"}
    assert all(cell.hyperlink is None for row in listed for cell in row)
    assert [(row[1].value, row[2].value, row[3].value) for row in listed] == [(n, moment, None) for n in range(7)]
    assert (listed[4][0].value, len(listed[5][0].value)) == ("ab", 32_767)
    assert [cell.value for cell in total[:2]] == ["Total", 21]
    assert found["Liste (2)"].auto_filter.ref == "A2:D5", "the total is not filtered"
