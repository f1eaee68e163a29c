"""Enrolment instances (Moodle table ``enrol``), as Moodle's own plugins create them."""

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.errors import TransitionError


def own_instance(campaign: Campaign, enrol: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a row of ``enrol`` is the instance through which the platform enrols a space's registered students.

    ``database``: that of enrol_database. ``cohort``: synchronisation of the cohort whose idnumber is the space's.
    """
    method = enrol.c.enrol == campaign.platform.enrolment
    if campaign.platform.enrolment == "database":
        return method
    cohort, course = campaign.moodle["cohort"].alias("own_cohort"), campaign.moodle["course"].alias("own_course")
    # Scalars by primary key, never NULL: the condition is also used negated.
    held = sa.select(cohort.c.idnumber).where(cohort.c.id == enrol.c.customint1).correlate(enrol).scalar_subquery()
    wanted = sa.select(course.c.idnumber).where(course.c.id == enrol.c.courseid).correlate(enrol).scalar_subquery()
    return sa.and_(method, wanted != "", sa.func.coalesce(held, "") == wanted)


def own_instances(campaign: Campaign, courses: Collection[int]) -> sa.Subquery:
    """One instance a space, the oldest: columns ``courseid``, ``enrolid``."""
    enrol = campaign.moodle["enrol"].alias("instance")
    query = sa.select(enrol.c.courseid, sa.func.min(enrol.c.id).label("enrolid"))
    wanted = query.where(enrol.c.courseid.in_(courses), own_instance(campaign, enrol))
    return wanted.group_by(enrol.c.courseid).subquery()


def create_own_instances(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> None:
    """Create the platform's instance in each space that has none.

    enrol_database creates it without a role of its own (``enrol_plugin::add_instance`` with no fields); enrol_cohort
    keeps the cohort in customint1, the group (none) in customint2 and the role in roleid.
    """
    instances = own_instances(campaign, courses)
    present = set(connection.execute(sa.select(instances.c.courseid)).scalars())
    cohorts = _cohorts(connection, campaign, courses) if campaign.platform.enrolment == "cohort" else {}
    for courseid in sorted(set(courses) - present):
        fields = {}
        if courseid in cohorts:
            fields = {"customint1": cohorts[courseid], "customint2": 0, "roleid": student_role(connection, campaign)}
        add_instance(connection, campaign, courseid, campaign.platform.enrolment, **fields)


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


def _cohorts(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> dict[int, int]:
    """Cohort of each space, by its idnumber; missing ones are created in the system context (``cohort_add_cohort``)."""
    cohort, course, context = (campaign.moodle[name] for name in ("cohort", "course", "context"))
    codes = sa.select(course.c.id, course.c.idnumber).where(course.c.id.in_(courses))
    wanted = dict(connection.execute(codes).all())
    found = sa.select(course.c.id, sa.func.min(cohort.c.id)).join(cohort, cohort.c.idnumber == course.c.idnumber)
    found = found.where(course.c.id.in_(courses)).group_by(course.c.id)
    cohorts: dict[int, int] = dict(connection.execute(found).all())
    moment = int(time.time())
    for courseid in sorted(set(wanted) - set(cohorts)):
        values = {
            "contextid": sa.select(context.c.id).where(context.c.contextlevel == 10).scalar_subquery(),
            "name": wanted[courseid], "idnumber": wanted[courseid], "description": "", "descriptionformat": 1,
            "visible": 1, "component": "", "timecreated": moment, "timemodified": moment,
        }  # fmt: skip
        cohorts[courseid] = int(connection.execute(sa.insert(cohort).values(values)).lastrowid)
    return cohorts
