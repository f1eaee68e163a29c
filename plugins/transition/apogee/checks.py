"""What a feed must satisfy before a single row of it is loaded: its manifest, its tables, one year beside the other.

Nothing here stops at the first finding: the stage raises them all at once.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from transition.apogee.canonical import CANONICAL, NEVER_EMPTY
from transition.apogee.csv_source import CsvFolder, absent, wrong_year
from transition.apogee.feed import Feed, RawTable, Source
from transition.apogee.rows import Findings, check_rows, shown
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.french import counted

_HALF = 0.5
_EXAMPLES = 5
_COMPONENT = 10  # elements below which a component's share says nothing
# Tables of the model, which cannot halve from a year to the next. Of people, transition.caps says how many are fewer.
COMPARED = ("element", "element_etape")


def feed_source(campaign: Campaign) -> Source:
    """The source of the campaign's feed; raises :class:`TransitionError` if it has none."""
    if campaign.feed is None:
        raise TransitionError(
            f"Aucune source Apogée n'est connue pour {campaign.platform.label} : définissez la connexion Airflow"
            f" « {campaign.platform.connections.apogee} »."
        )
    return CsvFolder(campaign.feed) if isinstance(campaign.feed, Path) else campaign.feed


def check_feed(campaign: Campaign) -> list[str]:
    """What can be told of the feed in a moment, for preflight; French findings."""
    try:
        return feed_source(campaign).check(campaign.year)
    except TransitionError as error:
        return [str(error)]


def check(feed: Feed, required: Collection[str]) -> Findings:
    """Check one year on its own: manifest, tables, types, keys, references between its tables.

    :param required: tables that must be there. The frames of ``feed`` get the compare keys of their codes.
    """
    findings = Findings(refused=list(feed.findings))
    findings.refused += [
        absent(feed.where, name) for name in required if name not in feed.tables and not _named(name, feed.findings)
    ]
    findings.refused += [
        f"{feed.tables[name].where} : aucune ligne ; refaites l'extraction."
        for name in required
        if name in NEVER_EMPTY and name in feed.tables and feed.tables[name].frame.empty
    ]
    findings.refused += manifest_findings(feed, findings.refused)
    for name, raw in feed.tables.items():
        check_rows(raw, CANONICAL[name], feed.year, findings)
    _check_references(feed.tables, findings)
    return findings


def compare_years(feed: Feed, last_rows: Mapping[str, int], findings: Findings) -> None:
    """Refuse a model with less than half of last year's rows: it is more likely incomplete than true."""
    for name in COMPARED:
        before, raw = last_rows.get(name, 0), feed.tables.get(name)
        if raw is not None and len(raw.frame) < _HALF * before:
            findings.refused.append(
                f"{raw.where} : {counted(len(raw.frame), 'ligne', 'lignes')}, contre {before} dans le lot de"
                f" {feed.year - 1} ; moins de la moitié : l'extraction est sans doute incomplète, refaites-la."
            )


def compare_components(feed: Feed, last: pd.DataFrame, findings: Findings) -> None:
    """Warn of each component fewer than half of whose codes are still in the model.

    Not a refusal: a component may really close; the cap on archived spaces stops what goes too far.

    :param last: ``cle`` and ``composante`` of year N-1's elements.
    """
    if "element" not in feed.tables:
        return
    kept = last["cle"].isin(feed.tables["element"].frame["cle"])
    shares = kept.groupby(last["composante"]).agg(["sum", "size"])
    for component, (still, before) in shares.iterrows():
        if before >= _COMPONENT and still < _HALF * before:
            findings.warned.append(
                f"composante {component} : encore {counted(still, 'élément', 'éléments')} sur {before} dans la maquette"
                f" {feed.year}"
            )


def _named(table: str, findings: Iterable[str]) -> bool:
    """Whether a finding already says that the table cannot be read."""
    return any(f"/{table}.csv" in sentence for sentence in findings)


def manifest_findings(feed: Feed, known: Collection[str] = ()) -> list[str]:
    """What the manifest and the tables say differently; French findings, less what the ``known`` ones already say."""
    manifest, findings = feed.manifest, list[str]()
    if manifest is None:
        return findings
    if manifest.annee != feed.year:
        findings.append(wrong_year(manifest, feed.year))
    if not manifest.complet:
        findings.append(
            f"{manifest.where}, colonne complet : « 0 », l'extraction s'est arrêtée avant la fin ; refaites-la."
        )
    present = set(feed.tables)
    for column, declared in (("nb_lignes", set(manifest.rows)), ("sha256", set(manifest.sha256))):
        where = f"{manifest.where}, colonne {column}"
        findings += [
            f"{where} : ne dit rien de la table « {name} », pourtant livrée." for name in sorted(present - declared)
        ]
        findings += [
            f"{where} : annonce la table « {shown(name)} », non livrée."
            for name in sorted(declared - present)
            if not _named(name, known)
        ]
    for name, raw in feed.tables.items():
        findings += _against_manifest(raw, manifest.rows.get(name), manifest.sha256.get(name))
    return findings


def _against_manifest(raw: RawTable, rows: int | None, sha256: str | None) -> list[str]:
    if rows is not None and rows != len(raw.frame):
        return [
            f"{raw.where} : {counted(len(raw.frame), 'ligne lue', 'lignes lues')},"
            f" {counted(rows, 'annoncée', 'annoncées')} par le manifeste ; le fichier est incomplet ou modifié,"
            " livrez-le à nouveau."
        ]
    if sha256 is not None and sha256.lower() != raw.sha256:
        return [f"{raw.where} : le contenu n'est pas celui qu'annonce le manifeste (sha256) ; livrez-le à nouveau."]
    return []


def _check_references(tables: Mapping[str, RawTable], findings: Findings) -> None:
    for name in ("inscription", "groupe_membre"):
        if name in tables and "etudiant" in tables:
            raw, known = tables[name], tables["etudiant"]
            unknown = ~raw.frame["code_etudiant"].isin(known.frame["code_etudiant"])
            sentence = f"colonne code_etudiant : étudiant absent de {known.name}."
            findings.rows(raw, unknown, lambda _, sentence=sentence: sentence)  # type: ignore[misc]
    _check_groups(tables, findings)
    if "element" not in tables:
        return
    keys, model = tables["element"].frame["cle"], tables["element"].name
    if "element_etape" in tables:
        raw = tables["element_etape"]
        codes = raw.frame["code"]
        unknown = ~raw.frame["cle"].isin(keys)
        findings.rows(raw, unknown, lambda p: f"colonne code : « {shown(codes.iloc[p])} » n'est pas dans {model}.")
    for name in ("inscription", "enseignant_affectation", "groupe"):
        if name in tables:
            _check_codes(tables[name], tables["element"], name == "inscription", findings)


def _check_groups(tables: Mapping[str, RawTable], findings: Findings) -> None:
    """Groups and their members come together: members alone would have nowhere to go, and no members empty all."""
    given = [name for name in ("groupe", "groupe_membre") if name in tables]
    if len(given) == 1:
        missing = "groupe_membre" if given == ["groupe"] else "groupe"
        findings.refused.append(
            f"{tables[given[0]].where} : la table {missing} manque ; livrez les deux, ou aucune des deux."
        )
    elif given:
        members, groups = tables["groupe_membre"], tables["groupe"]
        codes = members.frame["code_groupe"]
        unknown = ~codes.isin(groups.frame["code_groupe"])
        findings.rows(
            members,
            unknown,
            lambda p: f"colonne code_groupe : « {shown(codes.iloc[p])} » n'est pas dans {groups.name}.",
        )


def _check_codes(raw: RawTable, elements: RawTable, refuse_most: bool, findings: Findings) -> None:
    """Warn of codes that the model lacks: students may repeat a closed version of a year, feeds have their own timing.

    Most of them unknown means two extractions that do not belong together: refused where ``refuse_most``.
    """
    named = raw.frame["cle"].drop_duplicates()
    unknown = named[~named.isin(elements.frame["cle"])]
    if refuse_most and len(unknown) > _HALF * len(named):
        findings.refused.append(
            f"{raw.where}, colonne code : {len(unknown)} codes sur {len(named)} absents de {elements.name} ;"
            " les deux extractions ne vont pas ensemble, refaites-les."
        )
    elif len(unknown):
        examples = ", ".join(shown(code) for code in unknown.head(_EXAMPLES))
        findings.warned.append(
            f"{raw.where} : {counted(len(unknown), 'code absent', 'codes absents')} de la maquette, dont {examples}"
        )
