"""The invented courses of study of both platforms: six elements each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Programme:
    """One year of a course of study: its étape, and the prefix, first number and titles of its elements."""

    faculty: str
    component: str
    name: str
    step: str
    version: str
    prefix: str
    first: int
    digits: int
    titles: tuple[str, ...]


def _programme(faculty: tuple[str, str], name: str, step: str, first: str, titles: str) -> Programme:
    """Return a programme; `first` is the code of its first element, such as SINF501."""
    prefix = first.rstrip("0123456789")
    digits = first.removeprefix(prefix)
    return Programme(*faculty, name, step, "140", prefix, int(digits), len(digits), tuple(titles.split(" | ")))


_SCIENCES, _LAW = ("UFR des Sciences", "SCI"), ("UFR Droit, AES et administration publique", "DRO")
_ARTS, _SPORT = ("UFR Humanités et sciences sociales", "HSS"), ("UFR STAPS", "STA")
_HEALTH = ("UFR Santé", "MED")

PROGRAMMES = {
    "ecampus": (
        _programme(_SCIENCES, "Licence 3 Informatique", "SL3INF", "SINF501",
                   "Programmation objet | Bases de données avancées | Systèmes d'exploitation | Réseaux | Génie "
                   "logiciel | Langages et automates"),
        _programme(_SCIENCES, "Licence 1 Mathématiques", "SL1MAT", "SMAT101",
                   "Analyse 1 | Algèbre linéaire | Raisonnement et logique | Géométrie de l'espace | Probabilités | "
                   "Méthodes de travail"),
        _programme(_SCIENCES, "Master 2 Chimie", "SM2CHI", "SCHI301",
                   "Synthèse organique | Chimie du solide | Spectroscopies | Électrochimie | Chimie verte | Projet "
                   "d'équipe"),
        _programme(_LAW, "Licence 1 Droit", "DL1DRO", "DDRO101",
                   "Droit constitutionnel | Droit de la famille | Histoire des institutions | L'État et ses "
                   "relations | Méthodologie juridique | Anglais juridique"),
        _programme(_LAW, "Master 1 Droit des affaires", "DM1AFF", "DAFF101",
                   "Droit des contrats | Droit des sociétés | Fiscalité de l'entreprise | Droit pénal des affaires "
                   "| Procédures collectives | Négociation"),
        _programme(_ARTS, "Licence 2 Lettres modernes", "HL2LET", "HLET201",
                   "Littérature du XIXᵉ siècle | Stylistique | Grammaire de l'ancien français | L'œuvre et ses "
                   "lecteurs | Latin débutant | Atelier d'écriture"),
        _programme(_ARTS, "Licence 3 Histoire", "HL3HIS", "HHIS301",
                   "Histoire médiévale | Histoire de la Normandie | L'Europe au XXᵉ siècle | Épigraphie | "
                   "Archivistique | Stage en musée"),
        _programme(_SPORT, "Licence 1 STAPS", "TL1STA", "TSTA101",
                   "Anatomie | Physiologie de l'effort | Psychologie du sport | Natation | Athlétisme | Voile"),
    ),
    "collegium_sante": (
        _programme(_HEALTH, "PASS", "ML1PAS", "MPASS01",
                   "Biochimie | Biologie cellulaire | Anatomie générale | Biostatistiques | Santé, société, "
                   "humanité | Initiation à la connaissance du médicament"),
        _programme(_HEALTH, "Soins infirmiers 2ᵉ année", "MI2SOI", "MIFS201",
                   "Soins d'urgence | Pharmacologie | Législation, éthique et déontologie | Psychologie de l'aidant "
                   "| Hygiène hospitalière | Analyse de pratiques"),
    ),
}  # fmt: skip
