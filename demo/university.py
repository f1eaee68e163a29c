"""The demonstration university, written into a Moodle database: `create(url, platform)`.

Everything is invented and seeded: the same platform gives the same rows, whatever the day.
"""

from __future__ import annotations

from sqlalchemy import URL, NullPool, create_engine

from demo import enrolments, traces
from demo.activities import packages, polls, quizzes, resources, shared, talk, work
from demo.catalogue import create_tables
from demo.plan import Space as Plan
from demo.plan import plan
from demo.site import Site
from demo.space import Space

PLATFORMS = ("ecampus", "collegium_sante")


def create(url: URL, platform: str) -> int:
    """Create the platform's tables and rows in the database that `url` names, made anew; return the number of rows.

    The account must be allowed to drop and create that database.
    """
    rows = build(platform).rows
    engine = create_engine(url.set(database=""), poolclass=NullPool)
    database = engine.dialect.identifier_preparer.quote_identifier(str(url.database))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {database}")
        connection.exec_driver_sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        connection.exec_driver_sql(f"USE {database}")
        create_tables(connection)
        rows.write(connection)
    return rows.count()


def build(platform: str) -> Site:
    """Return the platform's rows, in memory."""
    university = plan(platform)
    site = Site(university)
    cohorts = enrolments.Cohorts(site) if university.by_cohort else None
    for order, space_plan in enumerate(university.spaces):
        _space(site, space_plan, order, cohorts)
    manager = site.users[university.teachers[-1].username]
    site.assign_role("manager", next(iter(site.categories.values()))[1], manager)
    return site


def _space(site: Site, space_plan: Plan, order: int, cohorts: enrolments.Cohorts | None) -> None:
    space = Space(site, space_plan, order)
    enrolments.enrol(space, cohorts)
    enrolments.group(space)
    talk.announcements(space)
    if space_plan.full:
        _full(space)
    else:
        _ordinary(space)
    if space_plan.fate != "archived":
        traces.views_and_completion(space)
        traces.gradebook(space)
        traces.course_completion(space)
    space.finish()


def _full(space: Space) -> None:
    """Every activity of the policy, and every kind of trace."""
    questions = quizzes.bank(space)
    work.assign(space)
    work.workshop(space)
    quizzes.quiz(space, questions)
    quizzes.offlinequiz(space, questions)
    for fill in (
        quizzes.hotpot, packages.h5pactivity, packages.hvp, packages.scorm, packages.lesson, packages.lti,
        packages.wooclap, packages.simplecertificate, packages.bigbluebuttonbn, talk.forum, talk.chat,
        talk.etherpadlite, talk.wiki, shared.glossary, shared.data, shared.choice, shared.choicegroup,
        shared.checklist, shared.scheduler, polls.feedback, polls.questionnaire, polls.survey, resources.resources,
        traces.notes_and_drafts, traces.badges, traces.competencies, traces.leftovers, traces.what_moodle_computes,
    ):  # fmt: skip
        fill(space)


def _ordinary(space: Space) -> None:
    """A few resources; and, unless the space was archived a year ago, some activities with their traces."""
    resources.few_resources(space)
    if space.plan.fate == "archived":
        return
    work.short_assign(space)
    talk.short_forum(space)
    if space.id % 3 == 0:
        quizzes.quiz(space, quizzes.bank(space))
    if space.id % 4 == 0:
        polls.feedback(space)
        shared.choice(space)
    if space.id % 5 == 0:
        talk.wiki(space)
        shared.glossary(space)
