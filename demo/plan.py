"""What the demonstration university is made of, before any table: spaces, people, and what the campaign of 2026 finds.

Both the Moodle databases (`demo/university.py`) and the Apogée feeds (`demo/apogee.py`) come from it, so they agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from demo.people import Person, staff, students
from demo.programmes import PROGRAMMES, Programme

YEAR = 2026
"""The start year of the academic year that the transition opens."""


@dataclass(frozen=True)
class Space:
    """A course space as planned.

    `path`: names of its categories, from the top. `code`: the course's idnumber ('' for none). `fate`: why the campaign
    will decide as it does (a key of FATES). `full`: every activity of the policy, with its traces; else a few.
    """

    code: str
    shortname: str
    title: str
    path: tuple[str, ...]
    fate: str
    full: bool
    teachers: tuple[Person, ...]
    students: tuple[Person, ...]
    programme: Programme | None = None

    @property
    def in_last_model(self) -> bool:
        """Tell whether the code was in the curriculum model of the year before."""
        return self.fate in ("modelled", "host", "left", "late", "shifted", "twin")

    @property
    def in_model(self) -> bool:
        """Tell whether the code is in the curriculum model of the campaign's year."""
        return self.in_last_model and self.fate != "left"


FATES = {
    "modelled": "reset",
    "host": "reset",  # the model names it only as the host (porteur) of another element
    "left": "archive",
    "late": "defer",  # late closing of the element
    "shifted": "defer",  # the space runs on a shifted calendar
    "twin": "hold",  # two spaces carry its code
    "unknown": "hold",  # no model has ever named its code
    "nameless": "hold",  # no code at all
    "complementary": "exclude",
    "archived": "exclude",
}
"""The decision expected for each fate, in the design's words."""


@dataclass(frozen=True)
class University:
    """A platform as planned; `newcomers` have an account and no enrolment yet, `strangers` have no account at all."""

    platform: str
    name: str
    site: str
    by_cohort: bool
    spaces: tuple[Space, ...]
    teachers: tuple[Person, ...]
    students: tuple[Person, ...]
    newcomers: tuple[Person, ...]
    strangers: tuple[Person, ...]
    classes: dict[Programme, tuple[Person, ...]] = field(default_factory=dict)

    def modelled(self) -> Iterator[Space]:
        """Yield the spaces whose programme is in the curriculum, twins once."""
        seen: set[str] = set()
        for space in self.spaces:
            if space.programme and space.code not in seen:
                seen.add(space.code)
                yield space


FULL = {
    "ecampus": ("SINF501", "SINF502", "DDRO101", "SCHI304", "TSTA101", "HHIS301", "BVE-01"),
    "collegium_sante": ("MPASS01", "MPASS06"),
}
FATE_OF = {
    "SMAT105": "host", "SCHI304": "left", "DAFF105": "left", "HLET206": "left", "TSTA106": "left", "TSTA101": "late",
    "HHIS306": "shifted", "HHIS301": "twin", "MPASS06": "left", "MIFS204": "late",
}  # fmt: skip
COMPLEMENTARY, LIFE, ARCHIVES = "Espaces complémentaires", "Vie étudiante", "Archives"
OTHER_SPACES = {
    "ecampus": [
        ("BVE-01", "BVE-01", "Bureau de la vie étudiante", (COMPLEMENTARY, LIFE), "complementary"),
        ("BVE-02", "BVE-02", "Associations : mode d'emploi", (COMPLEMENTARY, LIFE), "complementary"),
        ("FORM-PIX", "FORM-PIX", "Certification Pix", (COMPLEMENTARY,), "complementary"),
        ("CEMU-ENS", "CEMU-ENS", "Enseigner avec Ecampus", (COMPLEMENTARY,), "complementary"),
        ("SINF401", "ex_SINF401", "ex_SINF401 - Introduction à Lisp", (ARCHIVES, "Archives 2025-2026"), "archived"),
        ("HHIS205", "ex_HHIS205", "ex_HHIS205 - Paléographie", (ARCHIVES, "Archives 2025-2026"), "archived"),
        ("HHIS301", "HHIS301-bis", "HHIS301 - Histoire médiévale (copie de l'an dernier)",
         ("UFR Humanités et sciences sociales", "Licence 3 Histoire"), "twin"),
        ("ZZZ-TEST9", "ZZZ-TEST9", "Espace d'essai du département", ("UFR des Sciences",), "unknown"),
        ("", "Tutorat-Lettres", "Tutorat de lettres", ("UFR Humanités et sciences sociales",), "nameless"),
    ],
    "collegium_sante": [
        ("TUT-SANTE", "TUT-SANTE", "Tutorat santé", (COMPLEMENTARY, LIFE), "complementary"),
        ("MPASS00", "ex_MPASS00", "ex_MPASS00 - PACES", (ARCHIVES, "Archives 2025-2026"), "archived"),
        ("MSTAGES", "MSTAGES", "Carnet de stage de l'an 2000", ("UFR Santé",), "unknown"),
    ],
}  # fmt: skip


def plan(platform: str) -> University:
    """Return the plan of `ecampus` (57 spaces, 600 students, 40 teachers) or `collegium_sante` (15, 150, 12)."""
    programmes = PROGRAMMES[platform]
    many = platform == "ecampus"
    per_class, new, teaching = (68, 56, 40) if many else (70, 10, 12)
    first_number = 22500001 if many else 22580001
    everyone = students(per_class * len(programmes) + new, first_number, seed=f"{platform} students")
    teachers = tuple(staff(teaching, seed=f"{platform} staff"))
    classes = {
        programme: tuple(everyone[place * per_class : (place + 1) * per_class])
        for place, programme in enumerate(programmes)
    }
    spaces = [*_modelled(platform, classes, teachers), *_others(platform, tuple(everyone), teachers)]
    return University(
        platform=platform,
        name="Ecampus" if many else "Collegium Santé",
        site="https://ecampus.unicaen.fr" if many else "https://collegium-sante.unicaen.fr",
        by_cohort=not many,
        spaces=tuple(spaces),
        teachers=teachers,
        students=tuple(everyone[: per_class * len(programmes)]),
        newcomers=tuple(everyone[-new:]),
        strangers=tuple(students(2, 22699001, seed=f"{platform} strangers")),
        classes=classes,
    )


def _modelled(
    platform: str, classes: dict[Programme, tuple[Person, ...]], teachers: tuple[Person, ...]
) -> Iterator[Space]:
    place = 0
    for programme, people in classes.items():
        for number, title in enumerate(programme.titles, start=programme.first):
            code = f"{programme.prefix}{number:0{programme.digits}d}"
            pair = tuple(teachers[(place + step) % len(teachers)] for step in (0, 7))
            yield Space(
                code, code, f"{code} - {title}", (programme.faculty, programme.name), FATE_OF.get(code, "modelled"),
                code in FULL[platform], pair, people, programme,
            )  # fmt: skip
            place += 1


def _others(platform: str, everyone: tuple[Person, ...], teachers: tuple[Person, ...]) -> Iterator[Space]:
    for place, (code, shortname, title, path, fate) in enumerate(OTHER_SPACES[platform]):
        pair = (teachers[place % len(teachers)], teachers[-1])
        people = everyone[place * 5 : place * 5 + 25]
        yield Space(code, shortname, title, path, fate, shortname in FULL[platform], pair, people)
