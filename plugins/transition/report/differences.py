"""What a campaign changes, before and after, by component: an Excel workbook for the pedagogical engineers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO

import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.campaign import Campaign
from transition.decisions import DECISION, DECISIONS
from transition.enrolment.people import planned_arrivals, registered_students
from transition.enrolment.tables import arrival
from transition.report import maquette, teachers
from transition.report.space_lines import (
    ARRIVING,
    DONE,
    PLANNED,
    People,
    SpaceLine,
    read_lines,
    read_people,
)
from transition.state import tables
from transition.workbook import Table, Value, add_table, new_book

# Every sheet's columns: heading to width, in characters.
SUMMARY = {
    "Composante": 28, "Espaces": 10, **{text[0].upper() + text[1:]: 16 for text in DECISIONS.values()},
    "Concernés": 12, "Étudiants avant": 16, "Étudiants après": 16, "Enseignants": 14, "Lignes prévues": 16,
    "Lignes déplacées": 17, "Exports de notes": 17,
}  # fmt: skip
SPACES = {
    "Composante": 18, "Code": 16, "État": 14, "Décision": 24, "Motif": 60, "Nom avant": 40, "Nom après": 40,
    "Catégorie avant": 40, "Catégorie après": 40, "Étudiants avant": 16, "Sortants": 10, "Restants": 10,
    "Entrants": 10, "Étudiants après": 16, "Enseignants": 14, "Groupes": 10, "Lignes prévues": 16,
    "Lignes déplacées": 17, "Sauvegarde": 12, "Sauvegardé le": 18, "Export des notes": 30,
}  # fmt: skip
MODEL = {
    "Changement": 22, "Composante": 18, "Code": 16, "Élément": 44, "Nature": 12, "Avant": 34, "Après": 26, "Espace": 44,
}  # fmt: skip
TO_CHECK = {"Composante": 18, **teachers.HEADINGS}
ENROLMENTS = {
    "Composante": 18, "Code": 16, "Espace": 44, "Inscrits dans Apogée": 22, "Comptes connus": 17,
    "Comptes inconnus": 18, "Inscrits dans Moodle": 22, "Restent à inscrire": 20,
}  # fmt: skip


def write(campaign: Campaign) -> UPath | None:
    """Write ``reports/differences-<run>.xlsx``; returns its path, None for a run that has no plan yet.

    What the run did once it is frozen, what it would do before; each space says which (« État »). Counts and codes
    only: no student is named. Written anew each time; reads Moodle, changes nothing in it.
    """
    run = tables.run.c
    with campaign.engine.connect() as connection:
        if not connection.execute(sa.select(run.fingerprint).where(run.number == campaign.run)).scalar():
            return None
    folder = storage.folder(campaign, "reports")
    storage.make_private(folder)
    path = folder / f"differences-{storage.stem(campaign)}.xlsx"
    storage.write(path, _build(campaign))
    return path


def _build(campaign: Campaign) -> bytes:
    """The workbook."""
    memory = BytesIO()
    with new_book(memory) as book:
        for table in _tables(campaign):
            add_table(book, table)
    return memory.getvalue()


def _tables(campaign: Campaign) -> Iterator[Table]:
    people = read_people(campaign)
    lines = read_lines(campaign, people)
    total = _summary("Total", lines, people, None)
    yield Table("Synthèse", SUMMARY, _summary_rows(lines, people), _intro(campaign, lines), total)
    yield Table("Espaces", SPACES, map(_space, lines))
    yield Table("Maquette", MODEL, _model_rows(campaign), _compared(campaign))
    yield Table("À vérifier", TO_CHECK, _to_check(campaign, lines))
    yield Table("Inscriptions", ENROLMENTS, _enrolments(campaign, lines))


def _intro(campaign: Campaign, lines: Sequence[SpaceLine]) -> list[str]:
    """What the reader must know before the figures."""
    outcomes = {line.outcome for line in lines if line.in_scope}
    if not outcomes:
        state = "Rien à faire : aucun espace n'est concerné par cette exécution."
    elif outcomes == {DONE}:
        state = "Fait et vérifié."
    elif outcomes == {PLANNED}:
        state = "Prévu : rien n'a encore été écrit dans Moodle."
    else:
        state = "Inachevé : les espaces « inachevé » ne sont pas vérifiés, leurs étudiants « après » sont ceux du plan."
    moment = datetime.now(campaign.platform.zone)
    return [
        f"Transition annuelle — {campaign.platform.label}, {campaign.year}-{campaign.year + 1}",
        state,
        f"Exécution {campaign.run_id}, état du {moment:%d/%m/%Y à %H:%M}.",
        "Étudiants et enseignants : chacun compte une fois par composante ici, une fois par espace dans « Espaces » ;"
        " seuls les espaces concernés sont comptés.",
    ]


def _summary_rows(lines: Iterable[SpaceLine], people: People) -> Iterator[tuple[Value, ...]]:
    """One row a component."""
    by_component: dict[str, list[SpaceLine]] = {}
    for line in lines:
        by_component.setdefault(line.component, []).append(line)
    for component, own in sorted(by_component.items()):
        yield _summary(component, own, people, component)


def _summary(title: str, lines: Sequence[SpaceLine], people: People, component: str | None) -> tuple[Value, ...]:
    decided = Counter(line.decision for line in lines)
    return (
        title,
        len(lines),
        *(decided[decision] for decision in DECISIONS),
        sum(line.in_scope for line in lines),
        people.count(component, "leaving", "staying"),
        people.count(component, "staying", ARRIVING),
        people.count(component, "teacher"),
        sum(line.planned for line in lines),
        sum(line.moved for line in lines),
        sum(line.export != "" for line in lines),
    )


def _space(line: SpaceLine) -> tuple[Value, ...]:
    def people(count: int) -> int | None:
        return count if line.in_scope else None

    return (
        line.component, line.code, line.outcome, DECISION[line.decision], line.reason, line.before.name,
        line.after.name, line.before.category, line.after.category, people(line.students_before),
        people(line.people.get("leaving", 0)), people(line.people.get("staying", 0)),
        people(line.people.get(ARRIVING, 0)), people(line.students_after), people(line.people.get("teacher", 0)),
        line.groups, line.planned, line.moved, "oui" if line.backed_up else "non", line.backed_up, line.export,
    )  # fmt: skip


def _compared(campaign: Campaign) -> list[str]:
    """A warning when there is no model of year N-1 to compare with."""
    if maquette.read_model(campaign, campaign.year - 1) is not None:
        return []
    return [f"Aucune maquette {campaign.year - 1} n'est chargée : seuls les éléments sans espace sont connus."]


def _model_rows(campaign: Campaign) -> Iterator[tuple[Value, ...]]:
    """What happened to each element between the two models, then the elements without a space."""
    before, after = (maquette.read_model(campaign, year) for year in (campaign.year - 1, campaign.year))
    spaces = maquette.spaces_by_key(campaign)
    if before is not None and after is not None:
        earlier = maquette.earlier_years(campaign)
        yield from _model(maquette.changes(before, after, campaign.year, earlier), spaces)
    yield from _model(maquette.without_space(after or {}, campaign.year, spaces), spaces)


def _model(changes: Iterable[maquette.Change], spaces: Mapping[str, str]) -> Iterator[tuple[Value, ...]]:
    for change in changes:
        one = change.element
        space = spaces.get(one.key) or spaces.get(one.host_key, "")
        yield change.kind, one.component, one.code, one.label, one.nature, change.before, change.after, space


def _to_check(campaign: Campaign, lines: Iterable[SpaceLine]) -> Iterator[tuple[Value, ...]]:
    """The teachers' list; among the spaces reset, no two have the same code."""
    component = {line.code: line.component for line in lines if line.in_scope}
    for row in teachers.rows(campaign):
        yield component.get(str(row[0]), ""), *row


def _enrolments(campaign: Campaign, lines: Iterable[SpaceLine]) -> Iterator[tuple[Value, ...]]:
    """The spaces that get students: who is registered, whose account is known, who is enrolled at this moment.

    Who is to be enrolled is not always who registered for the space: by étape, it is everybody of its étapes.
    """
    registered, expected, missing = registered_students(campaign), _expected(campaign), planned_arrivals(campaign)
    for line in lines:
        if line.in_scope and line.decision == "reset":
            all_of_them, known = registered.get(line.courseid, (0, 0))
            left = missing.get(line.courseid, 0)
            present = expected.get(line.courseid, 0) - left
            yield (
                line.component, line.code, line.after.name, all_of_them, known, all_of_them - known, present, left,
            )  # fmt: skip


def _expected(campaign: Campaign) -> dict[int, int]:
    """By course id, how many students the enrolment puts into a space, or leaves in it."""
    query = sa.select(arrival.c.courseid, sa.func.count()).where(arrival.c.run == campaign.run)
    with campaign.engine.connect() as connection:
        return dict(connection.execute(query.group_by(arrival.c.courseid)).all())
