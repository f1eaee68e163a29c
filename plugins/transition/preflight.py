"""Stage preflight: everything that would stop the campaign later, found before the first write, all at once."""

import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator

import sqlalchemy as sa

from transition import journal
from transition.apogee.checks import check_feed
from transition.audit import audit, journal_absent
from transition.backup.mbz import check_exchange
from transition.campaign import Campaign, now
from transition.create_spaces import check_web_service
from transition.errors import TransitionError, refuse_all
from transition.etherpad.pads import check_server
from transition.filedir import check_dataroot
from transition.french import counted, decimal, number
from transition.maintenance import check_command
from transition.missing import check_category
from transition.moodle.database import quoted
from transition.move import journal_abandoned
from transition.pace import check_replicas
from transition.rules.compile import absent_tables, unknown_columns
from transition.rules.model import load_rules, rule_names
from transition.spaces import check_categories, record_contexts
from transition.state import schema
from transition.swap import settle_swaps

_OLDEST_SERVERS = {"MariaDB": (10, 6), "MySQL": (8, 0)}  # with a RENAME that a crash cannot halve
_OLDEST_MOODLE, _NEWEST_MOODLE = 2022112800, 2025100700  # 4.1, before 5.2
_RIGHTS = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "CREATE TEMPORARY TABLES",
    "CREATE VIEW",
)  # fmt: skip
# What is tried in a schema of ours: a probe that was stopped half-way, or another at the same time, is in nobody's way.
_PROBES = (
    ("droits", "CREATE TABLE IF NOT EXISTS {} (id INT PRIMARY KEY)"),
    ("droits", "DROP TABLE IF EXISTS {}"),
    ("droits_vue", "CREATE OR REPLACE VIEW {} AS SELECT 1 AS id"),  # the freeze makes some, with Moodle closed already
    ("droits_vue", "DROP VIEW IF EXISTS {}"),
)
_WRITERS = (
    "create_spaces", "ex_rename", "enrolment", "freeze", "restore", "file_contents", "copy_archived_course", "expiry",
)  # fmt: skip


def preflight(campaign: Campaign) -> None:
    """Check site, schema, rights, space, time zone, feed and concurrence; then open the run.

    Raises one :class:`TransitionError` with every finding. Writes nothing in Moodle; creates the state schema.
    """
    findings = [finding for check in _BEFORE_STATE for finding in _collect(check, campaign)]
    refuse_all(f"Contrôles préalables ({campaign.platform.label}) :", findings)
    schema.upgrade(campaign)
    with journal.stage(campaign, "preflight") as closing:
        contexts = record_contexts(campaign)
        journal_absent(campaign)
        findings = [finding for check in _AFTER_STATE for finding in _collect(check, campaign)]
        refuse_all(f"Contrôles préalables ({campaign.platform.label}) :", findings)
        if not campaign.dry_run:
            campaign.take_fence()
            settle_swaps(campaign)
            journal_abandoned(campaign)
        closing["detail"] = counted(contexts, "contexte relevé", "contextes relevés")


def check_backup(campaign: Campaign) -> None:
    """What July's backup needs, before it begins: raises one :class:`TransitionError` with every finding.

    Neither a feed, nor the right to write in Moodle.
    """
    checks = (other_site, _server, _version, _rules, _storage, _clock, check_dataroot, check_command, check_exchange)
    findings = [finding for check in checks for finding in _collect(check, campaign)]
    refuse_all(f"Contrôles préalables ({campaign.platform.label}) :", findings)


def _collect(check: Callable[[Campaign], Iterable[str]], campaign: Campaign) -> list[str]:
    """A check's findings; a refusal on its way is one of them, so that the other checks still run."""
    try:
        return list(check(campaign))
    except TransitionError as error:
        return [str(error)]


def other_site(campaign: Campaign) -> Iterator[str]:
    """Whether the connected database is another site's than the platform declares: the finding, if so."""
    declared, found = campaign.platform.site, campaign.moodle.site
    if found != declared.rstrip("/"):
        yield (
            f"la base {campaign.moodle.schema} est celle du site {found or '(inconnu)'}, la plateforme"
            f" {campaign.platform.name} déclare {declared} : corrigez la connexion"
            f" {campaign.platform.connections.moodle} ou la clé « site » du fichier de la plateforme"
        )


def _version(campaign: Campaign) -> Iterator[str]:
    version = int(float(campaign.moodle.config.get("version", "0")))
    if not _OLDEST_MOODLE <= version < _NEWEST_MOODLE:
        yield f"la version {version} de Moodle n'est pas prise en charge (4.1 à 5.1) : adaptez d'abord les règles"


def _server(campaign: Campaign) -> Iterator[str]:
    with campaign.server.connect() as connection:
        version = connection.execute(sa.text("SELECT VERSION()")).scalar_one()
    name = "MariaDB" if "MariaDB" in version else "MySQL"
    oldest = _OLDEST_SERVERS[name]
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < oldest:
        yield (
            f"le serveur de la base est un {name} {version}, il faut au moins {name} {oldest[0]}.{oldest[1]} :"
            " mettez-le à jour"
        )


def _rules(campaign: Campaign) -> Iterator[str]:
    for rule in load_rules():
        for absent in absent_tables(rule, campaign.moodle):
            if not absent.variant:
                yield f"règle {rule.rule} : la table {absent.table} manque, corrigez la règle ou donnez sa « variant »"
        for column in unknown_columns(rule, campaign.moodle):
            yield f"règle {rule.rule} : la colonne {column} n'existe pas, corrigez la règle"


def _rights(campaign: Campaign) -> Iterator[str]:
    """Try the rights rather than read SHOW GRANTS, whose roles and patterns differ between servers."""
    user = campaign.server.url.username
    for name in (campaign.state_schema, campaign.archive_schema):
        try:
            with campaign.server.begin() as connection:
                connection.execute(
                    sa.text(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
                )
                for probe, sql in _PROBES:
                    connection.execute(sa.text(sql.format(quoted(probe, name))))
        except sa.exc.DBAPIError:
            yield (
                f"le compte {user} ne peut pas créer et supprimer tables et vues dans le schéma {name} : accordez-lui"
                f" {', '.join(_RIGHTS)} sur {name}.*"
            )
    course = campaign.moodle["course"]
    for verb, statement in (
        ("UPDATE", sa.update(course).where(sa.false()).values(sortorder=course.c.sortorder)),
        ("DELETE", sa.delete(course).where(sa.false())),
        ("INSERT", sa.insert(course).from_select(["id"], sa.select(course.c.id).where(sa.false()))),
    ):
        try:
            with campaign.server.begin() as connection:
                connection.execute(statement)
        except sa.exc.DBAPIError:
            yield f"le compte {user} n'a pas le droit {verb} sur {campaign.moodle.schema} : accordez-le"


def _storage(campaign: Campaign) -> Iterator[str]:
    folder = campaign.storage
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{campaign.platform.name}-essai"
        probe.write_bytes(b"essai")
        probe.unlink()
    except OSError as error:
        yield f"le stockage {folder} n'est pas inscriptible ({error.strerror}) : créez-le ou changez « storage »"
        return
    if folder.protocol in ("", "file"):
        free = shutil.disk_usage(folder.path).free / 2**30
        needed = campaign.platform.limits.free_space_gib
        if free < needed:
            yield (
                f"il reste {decimal(free)} Gio dans {folder}, il en faut {decimal(needed)} : libérez-en ou revoyez"
                " « limits »"
            )


def _clock(campaign: Campaign) -> Iterator[str]:
    """Dates are compared in Python, in UTC; a server clock that is off would age every backup wrongly."""
    with campaign.server.connect() as connection:
        drift = connection.execute(
            sa.text("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), :now)"), {"now": now()}
        ).scalar()
    if drift is None or abs(drift) > 300:
        gap = "de façon inconnue" if drift is None else f"de {number(abs(drift))} s"
        yield f"l'horloge du serveur de base de données diffère {gap} de celle d'Airflow : réglez-les"
    timezone, declared = campaign.moodle.config.get("timezone", ""), campaign.platform.timezone
    if timezone not in (declared, "99"):  # 99: the server's own, which the database does not tell
        yield (
            f"le fuseau horaire de Moodle est {timezone or 'inconnu'}, la plateforme déclare {declared} :"
            " corrigez l'un des deux, les dates limites en dépendent"
        )


def _student_role(campaign: Campaign) -> Iterator[str]:
    """Who holds a role of no archetype, or of a teacher's, counts as a teacher: nothing of theirs would ever leave."""
    role, shortname = campaign.moodle["role"], campaign.platform.student_role
    with campaign.server.connect() as connection:
        query = sa.select(role.c.archetype).where(role.c.shortname == shortname)
        archetype = connection.execute(query).scalar()
    where = f"la clé « student_role » du fichier de la plateforme {campaign.platform.name}"
    if archetype is None:
        yield f"le rôle « {shortname} » n'existe pas dans Moodle : corrigez {where} (nom abrégé d'un rôle)"
    elif archetype != "student":
        found = f"mais « {archetype} »" if archetype else "ni aucun autre"
        yield (
            f"le rôle « {shortname} » n'a pas dans Moodle l'archétype « student » (étudiant) {found} : ceux qui l'ont"
            " ne seraient pas reconnus comme étudiants ; donnez-lui cet archétype (Définition des rôles), ou corrigez"
            f" {where}"
        )


def other_writers(campaign: Campaign, also: Collection[str] = ()) -> Iterator[str]:
    """A task of another run that still writes holds its lock; taking over now would interleave the two.

    :param also: stages that write nothing in Moodle, and that the caller must not meet either.
    """
    return running(campaign, [*_WRITERS, *also, *(f"purge:{rule}" for rule in rule_names())])


def running(campaign: Campaign, names: Iterable[str]) -> Iterator[str]:
    """Those of these stages whose lock a task holds: a finding each."""
    with campaign.server.connect() as connection:
        for name in names:
            if connection.execute(sa.text("SELECT IS_USED_LOCK(:name)"), {"name": campaign.lock_name(name)}).scalar():
                yield f"l'étape {name} d'une autre exécution est en cours : attendez sa fin ou arrêtez-la"


_BEFORE_STATE = (
    other_site,
    _server,
    _version,
    _rules,
    _rights,
    _storage,
    _clock,
    _student_role,
    check_feed,
    check_server,
    check_replicas,
    check_dataroot,
    check_command,
    check_exchange,
    check_web_service,
)
_AFTER_STATE = (check_categories, check_category, audit, other_writers)
