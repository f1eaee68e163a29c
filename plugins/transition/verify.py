"""Stage verify: nothing left, nothing lost, nothing else changed; whoever teaches still does."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial

import sqlalchemy as sa

from transition import contents, create_spaces, journal, snapshot
from transition.campaign import Campaign, now
from transition.enrolment.forums import unsubscribed
from transition.enrolment.groups import unfilled_groups
from transition.enrolment.instances import shut_out
from transition.enrolment.people import RULE as ENROLMENT
from transition.enrolment.tables import arrival
from transition.errors import refuse_all
from transition.etherpad import pads
from transition.french import counted, number
from transition.key_views import at_spaces, is_view
from transition.keys import count_keys, frozen_keys, temporary_keys
from transition.leftovers import Check, Finding, leftovers
from transition.missing import created_spaces
from transition.move import archive_table
from transition.plan import load_lines
from transition.rules.compile import CATEGORY, COURSE, Scope
from transition.rules.model import load_rules
from transition.side_by_side import side_by_side
from transition.state import tables
from transition.traces import all_traces


def verify(campaign: Campaign) -> None:
    """Check the campaign's result on the database; raises one :class:`TransitionError` with every finding.

    A finding on one space keeps that one from being recorded as carried over; any other finding keeps them all. Spaces
    that the freeze set aside, or into which a disabled method lets nobody, end it red as well. The others are recorded
    first: a next run would move what their new students do.
    """
    campaign.check_frozen()
    with journal.stage(campaign, "verify") as closing:
        findings = _findings(campaign)
        closing["detail"] = counted(len(findings), "constat", "constats")
        texts, aside = [finding.text for finding in findings], [*_set_aside(campaign), *shut_out(campaign)]
        unfit = {finding.courseid for finding in findings if finding.courseid is not None}
        in_spaces = all(finding.courseid is not None for finding in findings)
        if in_spaces:
            _record_reset(campaign, unfit)
        spaces = f" dans {counted(len(unfit), 'espace', 'espaces')}, seuls les autres sont faits" if in_spaces else ""
        refuse_all(
            f"Transition non conforme ({campaign.platform.label}){spaces}, et Moodle rouvre ensuite : traitez ces"
            " constats au plus vite, en refermant Moodle s'il le faut :",
            [*texts, *aside] if texts else [],
        )
        refuse_all(
            f"Transition conforme ({campaign.platform.label}), mais des espaces restent à traiter ; corrigez ce que dit"
            " chacun. S'il y en a de mis de côté, lancez ensuite une nouvelle exécution, qui laissera les autres :",
            aside,
        )


def _findings(campaign: Campaign) -> list[Finding]:
    """All that the checks find, side by side."""
    of_campaign: tuple[Callable[[Campaign], Iterable[str]], ...] = (
        _counts, _rewritten, _categories, unfilled_groups, pads.left, contents.left, create_spaces.left,
    )  # fmt: skip
    checks: list[Check] = [partial(_of_no_space, partial(check, campaign)) for check in of_campaign]
    checks += [partial(check, campaign) for check in (_left, _people, _subscriptions)]
    checks += leftovers(campaign)
    checks += [partial(_of_no_space, compared) for compared in snapshot.differences(campaign)]
    return [finding for found in side_by_side(lambda check: list(check()), checks) for finding in found]


def _of_no_space(check: Callable[[], Iterable[str]]) -> list[Finding]:
    return [Finding(text) for text in check()]


def _record_reset(campaign: Campaign, unfit: Collection[int]) -> None:
    """From now on these spaces belong to the new year, all of the run's but those ``unfit``."""
    decision, target = tables.decision, tables.space_reset
    in_scope = sa.select(decision.c.courseid).where(
        decision.c.run == campaign.run, decision.c.in_scope == sa.true(), decision.c.courseid.not_in(sorted(unfit))
    )  # fmt: skip
    with campaign.engine.begin() as connection:
        for spaces in (in_scope.subquery(), created_spaces(campaign).subquery()):
            rows = sa.select(sa.literal(campaign.year), spaces.c.courseid, sa.literal(campaign.run), sa.literal(now()))
            insert = sa.insert(target).from_select(["year", "courseid", "run", "verified_at"], rows)
            connection.execute(insert.prefix_with("IGNORE"))


def _counts(campaign: Campaign) -> Iterator[str]:
    """Planned = keys = archived = journalled, by rule, table and space; and no key is left in Moodle."""
    planned = load_lines(campaign)
    entries = tables.journal.c
    query = sa.select(entries.rule, entries.table_name, entries.courseid, entries.rows_moved).where(
        entries.run == campaign.run, entries.action == "moved"
    )
    with campaign.engine.connect() as connection:
        journalled = {(rule, name, courseid): int(n) for rule, name, courseid, n in connection.execute(query)}
        for name in sorted({name for _, name, _ in planned}):
            counts = count_keys(connection, frozen_keys(campaign, name), campaign.run)
            lines = {(rule, courseid): n for (rule, table, courseid), n in planned.items() if table == name}
            if counts != lines:
                there = counted(sum(lines.values()), "ligne prévue", "lignes prévues")
                yield f"table {name} : {there}, {counted(sum(counts.values()), 'clé figée', 'clés figées')}"
            keyed = sum(counts.values())
            archived, left = _placed(connection, campaign, name, keyed)
            if left or archived != keyed:
                going = counted(keyed, "ligne", "lignes")
                found = f"{number(archived)} en archive, {number(left)} encore dans Moodle"
                yield f"table {name} : {going} à déplacer, {found}"
    if journalled != planned:
        odd = sorted({name for _, name, _ in {key for key, _ in set(journalled.items()) ^ set(planned.items())}})
        yield f"le journal et le plan ne disent pas les mêmes nombres pour : {', '.join(odd)}"


def _rewritten(campaign: Campaign) -> Iterator[str]:
    """Tables whose rows that stay are in Moodle as they were before it wrote in them, while they were swapped."""
    entry = tables.journal.c
    mine = sa.and_(entry.run == campaign.run, entry.stage == "purge", entry.action == "changed")
    of_people = entry.table_name.not_in(snapshot.LIVE)
    with campaign.engine.connect() as connection:
        for name, year in connection.execute(sa.select(entry.table_name, entry.year).where(mine, of_people)):
            schema = replace(campaign, year=year).archive_schema  # of the swap, which the run may only have ended
            yield (
                f"table {name} : Moodle a modifié ou supprimé pendant son échange des lignes qui restent, et les a"
                f" encore comme avant : reportez ce qu'en dit {schema}.{campaign.moodle[name].name}, puis lancez une"
                " nouvelle exécution"
            )


def _placed(connection: sa.Connection, campaign: Campaign, name: str, keyed: int) -> tuple[int, int]:
    """Of the rows of a table that the run's ``keyed`` keys name: how many are in the archive, and in Moodle."""
    keys = frozen_keys(campaign, name)
    archive, source = archive_table(campaign, name), campaign.moodle[name]
    count = sa.select(sa.func.count())
    if is_view(connection, keys):  # the keys are the archive's rows themselves: to look each up again would take hours
        spaces, mine = at_spaces(connection, campaign, name, source)
        left = count.select_from(spaces.join(source, mine)).prefix_with("STRAIGHT_JOIN")
        return keyed, connection.execute(left).scalar_one()
    archived, left = (
        count.select_from(keys.join(table, table.c.id == keys.c.id)).where(keys.c.run == campaign.run)
        for table in (archive, source)
    )
    return connection.execute(archived).scalar_one(), connection.execute(left).scalar_one()


def _left(campaign: Campaign) -> Iterator[Finding]:
    """What the rules would still move, aside from `live` ones, whose rows Moodle itself goes on writing."""
    live = {rule.rule for rule in load_rules() if rule.live}
    with campaign.engine.connect() as connection:
        for name, traces in all_traces(campaign, Scope(campaign.run)).items():
            keys = temporary_keys(connection, campaign, name, [trace for trace in traces if trace.rule not in live])
            for (rule, courseid), rows in count_keys(connection, keys).items():
                left = counted(rows, "ligne reste", "lignes restent")
                yield Finding(f"espace {courseid}, règle {rule} : {left} dans {name}", courseid)


def _people(campaign: Campaign) -> Iterator[Finding]:
    """Teachers kept all they had; enrolled = registered and known; the others are out."""
    moodle, decision = campaign.moodle, tables.decision
    enrol, ue, ra, role = moodle["enrol"], moodle["user_enrolments"], moodle["role_assignments"], moodle["role"]
    space, people = tables.space_context, tables.standing
    here = sa.and_(decision.c.run == campaign.run, decision.c.in_scope == sa.true())
    student = sa.select(role.c.id).where(role.c.shortname == campaign.platform.student_role).scalar_subquery()
    teaching = sa.exists().where(
        people.c.run == campaign.run, people.c.courseid == enrol.c.courseid, people.c.userid == ue.c.userid,
        people.c.standing == "teacher",
    )  # fmt: skip
    registered = sa.exists().where(
        arrival.c.run == campaign.run, arrival.c.courseid == enrol.c.courseid, arrival.c.userid == ue.c.userid
    )
    enrolments = decision.join(enrol, enrol.c.courseid == decision.c.courseid).join(ue, ue.c.enrolid == enrol.c.id)
    space_of = (decision.c.courseid, decision.c.code)
    strangers = sa.select(*space_of, sa.func.count()).select_from(enrolments).where(here, ~teaching, ~registered)
    missing = (
        sa.select(*space_of, sa.func.count())
        .select_from(
            decision.join(
                arrival, sa.and_(arrival.c.run == decision.c.run, arrival.c.courseid == decision.c.courseid)
            )
        )
        .where(
            here,
            ~sa.exists().where(
                enrol.c.courseid == arrival.c.courseid, ue.c.enrolid == enrol.c.id, ue.c.userid == arrival.c.userid,
                ue.c.status == 0, ra.c.userid == ue.c.userid, ra.c.contextid == space.c.contextid,
                ra.c.roleid == student, space.c.run == campaign.run, space.c.courseid == arrival.c.courseid,
                space.c.contextlevel == COURSE,
            ),
        )
    )  # fmt: skip
    with campaign.engine.connect() as connection:
        for courseid, code, count in connection.execute(strangers.group_by(*space_of)):
            left = counted(count, "inscription reste", "inscriptions restent")
            yield Finding(f"espace {code} : {left} sans inscription pédagogique ni enseignement", courseid)
        for courseid, code, count in connection.execute(missing.group_by(*space_of)):
            absent = counted(count, "étudiant d'Apogée n'est pas inscrit", "étudiants d'Apogée ne sont pas inscrits")
            yield Finding(f"espace {code} : {absent} dans Moodle", courseid)
        lost = archive_table(campaign, "user_enrolments")
        if (ENROLMENT, "user_enrolments") in {(rule, name) for rule, name, _ in load_lines(campaign)}:
            keys = frozen_keys(campaign, "user_enrolments")
            query = (
                sa.select(sa.func.count())
                .select_from(keys.join(lost, lost.c.id == keys.c.id).join(
                    people, sa.and_(people.c.courseid == keys.c.courseid, people.c.userid == lost.c.userid)))
                .where(keys.c.run == campaign.run, people.c.run == campaign.run, people.c.standing == "teacher")
            )  # fmt: skip
            if count := connection.execute(query).scalar():
                gone = counted(count, "inscription d'enseignant est partie", "inscriptions d'enseignants sont parties")
                yield Finding(f"{gone} dans {lost.schema}.{lost.name}, à restaurer")


def _subscriptions(campaign: Campaign) -> Iterator[Finding]:
    """The students of the new year are subscribed where Moodle would have done it."""
    if (query := unsubscribed(campaign)) is not None:
        with campaign.engine.connect() as connection:
            for courseid, code, count in connection.execute(query):
                absent = counted(count, "abonnement manque", "abonnements manquent")
                where = "aux forums à abonnement automatique, relancez l'étape enrolment"
                yield Finding(f"espace {code} : {absent} {where}", courseid)


def _categories(campaign: Campaign) -> Iterator[str]:
    """Moodle's own invariants after a course moved (``fix_course_sortorder``, ``context_helper::build_all_paths``)."""
    moodle = campaign.moodle
    course, category, context = moodle["course"], moodle["course_categories"], moodle["context"]
    above = context.alias("above")
    courses = sa.select(sa.func.count()).select_from(course).where(course.c.category == category.c.id)
    misplaced = (
        sa.select(sa.func.count())
        .select_from(
            course.join(context, sa.and_(context.c.contextlevel == COURSE, context.c.instanceid == course.c.id)).join(
                above, sa.and_(above.c.contextlevel == CATEGORY, above.c.instanceid == course.c.category)
            )
        )
        .where(
            sa.or_(
                context.c.path != sa.func.concat(above.c.path, "/", context.c.id),
                context.c.depth != above.c.depth + 1,
            )
        )
    )
    twice = (
        sa.select(course.c.sortorder)
        .group_by(course.c.category, course.c.sortorder)
        .having(sa.func.count() > 1)
        .subquery()
    )
    with campaign.engine.connect() as connection:
        for name in connection.execute(
            sa.select(category.c.name).where(category.c.coursecount != courses.correlate(category).scalar_subquery())
        ).scalars():
            yield f"catégorie « {name} » : le nombre d'espaces affiché est faux"
        if count := connection.execute(misplaced).scalar():
            yield f"{counted(count, 'espace a', 'espaces ont')} un contexte qui ne suit pas la catégorie"
        if count := connection.execute(sa.select(sa.func.count()).select_from(twice)).scalar():
            yield f"{counted(count, 'rang', 'rangs')} d'espaces (sortorder) en double dans leur catégorie"


def _set_aside(campaign: Campaign) -> Iterator[str]:
    """The spaces that the freeze took out of the run's scope, and why."""
    decision = tables.decision.c
    query = sa.select(decision.code, decision.reason).where(
        decision.run == campaign.run, decision.decision == "hold", decision.reason.like("mis de côté%")
    )
    with campaign.engine.connect() as connection:
        for code, reason in connection.execute(query):
            yield f"espace {code} : {reason}"
