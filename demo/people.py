"""Invented people, with the accents, apostrophes and hyphens that French lists are full of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

_FIRST = (
    "Zoé Éloïse Chloé Anaïs Noémie Gaël Maël Loïc Jérôme François Benoît Théo Léa Inès Aïcha Raphaël Solène "
    "Hélène Cédric Agnès Joël Mickaël Océane Lucie Camille Baptiste Adélaïde Ambre Nour Yanis Björn Mehmet "
    "Ophélie Clément Angèle Rémi Marie-Ève Jean-Noël Anne-Laure Céleste Timothée Héloïse Séverine Grégoire Amélie "
    "Fatou Nolwenn Erwan Maïwenn Tugdual"
)
_LAST = (
    "D'Hérouville L'Hermitte Le·Goff Lefèvre Desprès Hébert Müller N'Diaye O'Connor Çelik Nuñez Lemoîne Bréhaut "
    "Pâris Dubosq Châtel Gosselin Marie Lecœur Delacroix Brossard Vallée Ledoux Guérin Aubry Jeanne Noël Tesnière "
    "D'Alençon Poirier Lebœuf Béchet Crépin De·La·Rue Dürer Esnault Fauchère Gâtinel Houël Ingouf Jouënne "
    "Kérambrun Le·Mière Mézerette Née Onfroy Piquenot Quétel Rivière Sénécal Thoumine Üstün Vauquelin Yvetot"
)
FIRST_NAMES, LAST_NAMES = _FIRST.split(), [name.replace("·", " ") for name in _LAST.split()]


@dataclass(frozen=True)
class Person:
    """Somebody with an account: `number` is the student number ('' for staff), `username` the login."""

    username: str
    number: str
    firstname: str
    lastname: str
    email: str


def students(how_many: int, first_number: int, seed: str) -> list[Person]:
    """Return invented students, numbered from `first_number` (8 digits); their login is `e` + number."""
    random = Random(seed)
    people = []
    for place in range(how_many):
        number = str(first_number + place)
        first, last = _name(random)
        people.append(Person(f"e{number}", number, first, last, f"e{number}@etu.universite.invalid"))
    return people


def staff(how_many: int, seed: str) -> list[Person]:
    """Return invented teachers; the login is theirs alone, of no meaning."""
    random = Random(seed)
    people = []
    for place in range(how_many):
        first, last = _name(random)
        login = f"ens{place + 1:03d}"
        people.append(Person(login, "", first, last, f"{login}@universite.invalid"))
    return people


def _name(random: Random) -> tuple[str, str]:
    return random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
