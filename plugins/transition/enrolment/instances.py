"""Enrolment instances (Moodle table ``enrol``), as Moodle's own plugins create them."""

import time
from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.tables import arrival, cohort_space, cohort_student, own_cohort
from transition.errors import TransitionError
from transition.french import counted
from transition.state import tables


def own_instance(
    campaign: Campaign, enrol: sa.FromClause, userid: sa.ColumnElement[int] | None = None
) -> sa.ColumnElement[bool]:
    """Whether a row of ``enrol`` is an instance through which the platform enrols a space's registered students.

    ``database``: that of enrol_database. ``cohort``: synchronisation of a cohort of the space's (``cohort_space``).
    :param userid: whether it is, moreover, one that enrols that person for year N.
    """
    method = enrol.c.enrol == campaign.platform.enrolment
    if campaign.platform.enrolment == "database":
        return method
    of_space = sa.and_(cohort_space.c.run == own_cohort.c.run, cohort_space.c.idnumber == own_cohort.c.idnumber)
    cohorts = own_cohort.join(cohort_space, of_space)
    conditions = [
        own_cohort.c.run == campaign.run, own_cohort.c.cohortid == enrol.c.customint1,
        cohort_space.c.courseid == enrol.c.courseid,
    ]  # fmt: skip
    if userid is not None:
        belongs = sa.and_(cohort_student.c.run == own_cohort.c.run, cohort_student.c.idnumber == own_cohort.c.idnumber)
        cohorts = cohorts.join(cohort_student, belongs)
        conditions.append(cohort_student.c.userid == userid)
    found = sa.exists().select_from(cohorts).where(*conditions)
    return sa.and_(method, found.correlate_except(own_cohort, cohort_space, cohort_student))


def own_instances(campaign: Campaign, courses: Collection[int]) -> sa.Subquery:
    """One instance a space, or a space and cohort, the oldest that is enabled if one is: columns ``courseid``,
    ``idnumber`` ('' for a database platform) and ``enrolid``."""
    enrol = campaign.moodle["enrol"].alias("instance")
    enabled = sa.func.min(sa.case((enrol.c.status == 0, enrol.c.id)))
    first = sa.func.coalesce(enabled, sa.func.min(enrol.c.id)).label("enrolid")
    if campaign.platform.enrolment == "database":
        query = sa.select(enrol.c.courseid, sa.literal("").label("idnumber"), first)
        wanted = query.where(enrol.c.courseid.in_(courses), own_instance(campaign, enrol))
        return wanted.group_by(enrol.c.courseid).subquery()
    of_cohort = sa.and_(own_cohort.c.run == cohort_space.c.run, own_cohort.c.idnumber == cohort_space.c.idnumber)
    linked = sa.and_(
        enrol.c.courseid == cohort_space.c.courseid, enrol.c.enrol == "cohort",
        enrol.c.customint1 == own_cohort.c.cohortid,
    )  # fmt: skip
    return (
        sa.select(cohort_space.c.courseid, cohort_space.c.idnumber, first)
        .select_from(cohort_space.join(own_cohort, of_cohort).join(enrol, linked))
        .where(cohort_space.c.run == campaign.run, cohort_space.c.courseid.in_(courses))
        .group_by(cohort_space.c.courseid, cohort_space.c.idnumber)
        .subquery()
    )


def own_places(campaign: Campaign, courses: Collection[int]) -> tuple[sa.Join, sa.Subquery]:
    """FROM clause of the arrivals of some spaces with the instances that enrol them; those instances in it."""
    instances = own_instances(campaign, courses)
    joined = arrival.join(instances, instances.c.courseid == arrival.c.courseid)
    if campaign.platform.enrolment == "cohort":
        belongs = sa.and_(
            cohort_student.c.run == arrival.c.run, cohort_student.c.idnumber == instances.c.idnumber,
            cohort_student.c.userid == arrival.c.userid,
        )  # fmt: skip
        joined = joined.join(cohort_student, belongs)
    return joined, instances


def shut_out(campaign: Campaign) -> Iterator[str]:
    """Spaces in scope with students whom disabled instances alone enrol, to whom Moodle opens nothing; in French."""
    decision, enrol = tables.decision, campaign.moodle["enrol"].alias("instance_used")
    reset = sa.and_(decision.c.run == campaign.run, decision.c.in_scope == sa.true(), decision.c.decision == "reset")
    method = f"enrol_{campaign.platform.enrolment}"
    with campaign.engine.connect() as connection:
        courses = connection.execute(sa.select(decision.c.courseid).where(reset)).scalars().all()
        joined, instances = own_places(campaign, courses)
        students = (
            sa.select(arrival.c.courseid, arrival.c.userid)
            .select_from(joined.join(enrol, enrol.c.id == instances.c.enrolid))
            .where(arrival.c.run == campaign.run)
            .group_by(arrival.c.courseid, arrival.c.userid)
            .having(sa.func.min(enrol.c.status) > 0)
            .subquery()
        )
        query = sa.select(decision.c.code, sa.func.count()).join(students, students.c.courseid == decision.c.courseid)
        for code, count in connection.execute(query.where(reset).group_by(decision.c.code).order_by(decision.c.code)):
            who = counted(count, "étudiant d'Apogée n'y a", "étudiants d'Apogée n'y ont")
            yield f"espace {code} : {who} pas accès, sa méthode d'inscription {method} est désactivée ; activez-la"


def create_own_instances(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> None:
    """Create the platform's missing instances in some spaces.

    enrol_database creates it without a role of its own (``enrol_plugin::add_instance`` with no fields); enrol_cohort
    keeps the cohort in customint1, the group (none) in customint2 and the role in roleid.
    """
    instances = own_instances(campaign, courses)
    found = sa.select(instances.c.courseid, instances.c.idnumber)
    present = {(courseid, idnumber) for courseid, idnumber in connection.execute(found)}
    if campaign.platform.enrolment == "database":
        for courseid in sorted(set(courses) - {courseid for courseid, _ in present}):
            add_instance(connection, campaign, courseid, "database")
        return
    of_cohort = sa.and_(own_cohort.c.run == cohort_space.c.run, own_cohort.c.idnumber == cohort_space.c.idnumber)
    wanted = (
        sa.select(cohort_space.c.courseid, cohort_space.c.idnumber, own_cohort.c.cohortid)
        .join(own_cohort, of_cohort)
        .where(cohort_space.c.run == campaign.run, cohort_space.c.courseid.in_(courses))
        .order_by(cohort_space.c.courseid, cohort_space.c.idnumber)
    )
    for courseid, idnumber, cohortid in connection.execute(wanted).all():
        if (courseid, idnumber) not in present:
            fields = {"customint1": cohortid, "customint2": 0, "roleid": student_role(connection, campaign)}
            add_instance(connection, campaign, courseid, "cohort", **fields)


def add_instance(connection: sa.Connection, campaign: Campaign, courseid: int, method: str, **fields: Any) -> int:
    """Create an instance at the end of the space's list (``enrol_plugin::add_instance``); returns its id."""
    enrol, moment = campaign.moodle["enrol"], int(time.time())
    last = sa.select(sa.func.coalesce(sa.func.max(enrol.c.sortorder), -1)).where(enrol.c.courseid == courseid)
    values = {
        "enrol": method, "status": 0, "courseid": courseid, "enrolstartdate": 0, "enrolenddate": 0,
        "sortorder": connection.execute(last).scalar_one() + 1, "timecreated": moment, "timemodified": moment, **fields,
    }  # fmt: skip
    return int(connection.execute(sa.insert(enrol).values(values)).lastrowid)


def add_manual_instance(connection: sa.Connection, campaign: Campaign, courseid: int) -> int:
    """Id of the space's manual instance; creates it like ``enrol_manual::add_default_instance`` if there is none."""
    enrol, settings = campaign.moodle["enrol"], campaign.moodle["config_plugins"]
    found = sa.select(enrol.c.id).where(enrol.c.courseid == courseid, enrol.c.enrol == "manual")
    if enrolid := connection.execute(found.order_by(enrol.c.sortorder, enrol.c.id).limit(1)).scalar():
        return int(enrolid)
    query = sa.select(settings.c.name, settings.c.value).where(settings.c.plugin == "enrol_manual")
    config = dict(connection.execute(query).all())

    def number(name: str) -> int:
        return int(config.get(name) or 0)

    notify = number("expirynotify")
    return add_instance(
        connection, campaign, courseid, "manual", roleid=number("roleid"), enrolperiod=number("enrolperiod"),
        expirynotify=min(notify, 1), notifyall=int(notify == 2), expirythreshold=number("expirythreshold"),
        customint1=number("sendcoursewelcomemessage"),
    )  # fmt: skip


def student_role(connection: sa.Connection, campaign: Campaign) -> int:
    """Id of the platform's student role; raises :class:`TransitionError` if Moodle has no such role."""
    role, shortname = campaign.moodle["role"], campaign.platform.student_role
    roleid = connection.execute(sa.select(role.c.id).where(role.c.shortname == shortname)).scalar()
    if roleid is None:
        raise TransitionError(
            f"Le rôle « {shortname} » n'existe pas dans {campaign.platform.label} : corrigez la clé « student_role »"
            f" du fichier de la plateforme {campaign.platform.name}."
        )
    return int(roleid)


def modifier(campaign: Campaign) -> int:
    """Id of the account that Moodle's scheduled tasks write as: the first administrator (``get_admin``), else 0."""
    first = campaign.moodle.config.get("siteadmins", "").split(",")[0]
    return int(first) if first.isdigit() else 0
