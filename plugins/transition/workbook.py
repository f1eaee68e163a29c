"""A grade export as an Excel workbook, laid out as Moodle's own (``grade/export/xls``)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import openpyxl
import xlsxwriter

from transition.gradebook import IDENTITY, Grade, Item, Person, shown

_CELL = 32_767  # characters that Excel accepts in a cell
_CUT = " […]"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML


def build(
    items: Sequence[Item], rows: Iterable[tuple[Person, Mapping[int, Grade]]], exported_at: int, decimals: int
) -> tuple[bytes, int, int]:
    """The workbook, its number of rows and of filled cells, the headings included.

    Cells hold what Moodle's export holds: a grade as a number (shown with ``decimals`` decimals, kept exact), the word
    of a scale, « - » without a grade; then the feedback. Text is never a formula. ``exported_at``: seconds since 1970.
    """
    memory = BytesIO()
    # constant_memory: rows go to a temporary file as they come
    options = {"constant_memory": True, "in_memory": False, "strings_to_formulas": False, "strings_to_urls": False}
    counts = [0, 0]
    with xlsxwriter.Workbook(memory, options) as book:
        sheet = book.add_worksheet("Notes")
        style = book.add_format({"num_format": f"0.{'0' * decimals}" if decimals else "0"})
        for number, cells in enumerate(_rows(items, rows, exported_at)):
            counts[0] += 1
            for column, value in enumerate(cells):
                if isinstance(value, float):
                    sheet.write_number(number, column, value, style)
                elif text := _cell(value):
                    sheet.write_string(number, column, text)
                counts[1] += value != ""
    return memory.getvalue(), counts[0], counts[1]


def count(workbook: Any) -> tuple[int, int]:
    """Rows and filled cells of a workbook, given as a file opened for reading."""
    book = openpyxl.load_workbook(workbook, read_only=True)
    rows = cells = 0
    for row in book.active.iter_rows(values_only=True):
        rows += 1
        cells += sum(value is not None for value in row)
    return rows, cells


def _rows(
    items: Sequence[Item], rows: Iterable[tuple[Person, Mapping[int, Grade]]], exported_at: int
) -> Iterator[list[float | str]]:
    headings = [heading for item in items for heading in (f"{item.name} (Brut)", f"{item.name} (Feedback)")]
    yield [*IDENTITY.values(), "Situation", *headings, "Dernier téléchargement depuis ce cours"]
    for person, grades in rows:
        cells: list[float | str] = [*person.identity, person.situation]
        for item in items:
            grade = grades.get(item.id)
            cells += [shown(item, grade), grade.feedback if grade else ""]
        yield [*cells, str(exported_at)]


def _cell(text: str) -> str:
    text = _UNPRINTABLE.sub("", text)
    return text if len(text) <= _CELL else text[: _CELL - len(_CUT)] + _CUT
