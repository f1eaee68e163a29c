"""Excel workbooks: a grade export, laid out as Moodle's own (``grade/export/xls``), and the tables of reports.

Text is always written as text: a name that begins with ``=``, ``+``, ``-`` or ``@`` never becomes a formula.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import chain, islice
from typing import Any

import openpyxl
import xlsxwriter

from transition.gradebook import IDENTITY, Grade, Item, Person, shown

_CELL = 32_767  # characters that Excel accepts in a cell
_CUT = " […]"
_SHEET_ROWS = 1_000_000  # Excel takes 1,048,576 and XlsxWriter drops the rest without a word
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML

Value = str | int | datetime | None


@dataclass(frozen=True)
class Table:
    """One sheet of a report.

    :param columns: heading to width, in characters. :param rows: whole numbers and moments (without zone) stay numbers
        and dates, None is an empty cell. :param intro: lines above the table. :param total: a last line, not filtered.
    """

    name: str
    columns: Mapping[str, int]
    rows: Iterable[Sequence[Value]]
    intro: Sequence[str] = ()
    total: Sequence[Value] = ()


@contextmanager
def new_book(memory: BytesIO) -> Iterator[Any]:
    """A workbook (``xlsxwriter.Workbook``) that is written to ``memory`` when the block ends."""
    # constant_memory: rows go to a temporary file as they come
    options = {"constant_memory": True, "in_memory": False, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(memory, options) as book:
        yield book


def add_table(book: Any, table: Table) -> int:
    """Add a sheet with one table: its headings stay in sight and have filters; returns the number of rows.

    Rows that one sheet cannot hold go on in « name (2) »…
    """
    left, count, number = iter(table.rows), 0, 1
    while True:
        sheet = book.add_worksheet(table.name if number == 1 else f"{table.name} ({number})")
        written = _write_sheet(book, sheet, table, islice(left, _SHEET_ROWS))
        count, number = count + written, number + 1
        following = next(left, None)
        if following is None:
            break
        left = chain([following], left)
    if table.total:
        _write_row(sheet, len(table.intro) + 1 + written, table.total, _formats(book, bold=True))
    return count


def _write_sheet(book: Any, sheet: Any, table: Table, rows: Iterable[Sequence[Value]]) -> int:
    bold, formats, head = _formats(book, bold=True), _formats(book), len(table.intro)
    sheet.freeze_panes(head + 1, 0)
    for column, width in enumerate(table.columns.values()):
        sheet.set_column(column, column, width)
    for number, line in enumerate(table.intro):
        _write_row(sheet, number, [line], bold if number == 0 else formats)
    _write_row(sheet, head, list(table.columns), bold)
    last = head
    for last, row in enumerate(rows, head + 1):
        _write_row(sheet, last, row, formats)
    sheet.autofilter(head, 0, last, len(table.columns) - 1)
    return last - head


def _write_row(sheet: Any, number: int, row: Sequence[Value], formats: Mapping[type, Any]) -> None:
    for column, value in enumerate(row):
        if isinstance(value, datetime):
            sheet.write_datetime(number, column, value, formats[datetime])
        elif isinstance(value, int):
            sheet.write_number(number, column, value, formats[int])
        elif value:
            sheet.write_string(number, column, _cell(value), formats[str])


def _formats(book: Any, *, bold: bool = False) -> dict[type, Any]:
    """The format of each type of value; Excel shows thousands and dates in its reader's own way."""
    shown = {str: "General", int: "#,##0", datetime: "dd/mm/yyyy hh:mm"}
    return {kind: book.add_format({"num_format": text, "bold": bold}) for kind, text in shown.items()}


def build(
    items: Sequence[Item], rows: Iterable[tuple[Person, Mapping[int, Grade]]], exported_at: int, decimals: int
) -> tuple[bytes, int, int]:
    """The workbook, its number of rows and of filled cells, the headings included.

    Cells hold what Moodle's export holds: a grade as a number (shown with ``decimals`` decimals, kept exact), the word
    of a scale, « - » without a grade; then the feedback. Text is never a formula. ``exported_at``: seconds since 1970.
    """
    memory = BytesIO()
    counts = [0, 0]
    with new_book(memory) as book:
        sheet = book.add_worksheet("Notes")
        style = book.add_format({"num_format": f"0.{'0' * decimals}" if decimals else "0"})
        for number, cells in enumerate(_rows(items, rows, exported_at)):
            counts[0] += 1
            for column, value in enumerate(cells):
                if isinstance(value, float):
                    sheet.write_number(number, column, value, style)
                elif text := _cell(value):
                    sheet.write_string(number, column, text)
                else:
                    continue
                counts[1] += 1
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
