"""Stage approval.create_spaces: a space for each element of the model that has none, by Moodle's web service."""

from collections.abc import Iterator

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.enrolment.tables import arrival
from transition.errors import TransitionError, UnreachableError, refuse_all
from transition.french import counted
from transition.missing import NewSpace, creates, new_spaces, write_csv
from transition.moodle.web_service import WebService
from transition.plan import approved_by
from transition.rules.compile import COURSE
from transition.state import tables

STAGE = "create_spaces"
_FUNCTIONS = ("core_webservice_get_site_info", "core_course_get_courses_by_field", "core_course_create_courses")
_SITE_INFO, _FIND, _CREATE = _FUNCTIONS


def check_web_service(campaign: Campaign) -> Iterator[str]:
    """For preflight: where the platform creates spaces, its web service is this site's and has what that takes."""
    if not campaign.platform.create_missing:
        return
    try:
        facts = _service(campaign).call(_SITE_INFO)
    except UnreachableError as error:
        yield str(error)
        return
    site, declared = str(facts.get("siteurl", "")).rstrip("/"), campaign.platform.site
    if site != declared:
        yield (
            f"le service web de la connexion {campaign.platform.connections.moodle_ws} est celui de {site}, la"
            f" plateforme déclare {declared} : corrigez la connexion"
        )
    offered = {function["name"] for function in facts.get("functions", ())}
    if absent := [name for name in _FUNCTIONS if name not in offered]:
        yield f"le service web de {site} n'offre pas {', '.join(absent)} : ajoutez-les au service du jeton"


def create_spaces(campaign: Campaign) -> None:
    """Create, where the platform asks for it, the spaces that the approved plan lists; their students follow.

    Never a twin: a space that carries the code already, in whatever spelling Moodle finds equal, is taken as it is. One
    that fails is journalled and does not block the others; the stage then fails with a sentence that names them.
    Changes nothing when run again. Raises :class:`TransitionError` before the first call if the plan is not approved.
    """
    campaign.check_fence()
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        if not creates(campaign):
            closing["detail"] = "aucun demandé"
            return
        if approved_by(campaign) is None:
            raise TransitionError(
                f"Le plan de l'exécution {campaign.run_id} n'est pas approuvé : approuvez-le d'abord."
            )
        service, failures, spaces = _service(campaign), list[str](), new_spaces(campaign)
        for space in spaces:
            try:
                _create(campaign, service, space)
            except TransitionError as error:
                failures.append(f"{space.code} : {error}")
                with campaign.engine.begin() as connection:
                    journal.record(connection, campaign, STAGE, "failed", detail=failures[-1])
        write_csv(campaign)
        closing["detail"] = counted(len(spaces) - len(failures), "espace créé", "espaces créés")
        refuse_all(
            f"Espaces non créés ({campaign.platform.label}) ; corrigez, puis relancez l'étape create_spaces :", failures
        )


def left(campaign: Campaign) -> Iterator[str]:
    """For verify: students whom Apogée registers in a space that this run created, and who are not enrolled there."""
    new, enrol, ue = tables.missing_space, campaign.moodle["enrol"], campaign.moodle["user_enrolments"]
    enrolled = sa.exists().where(
        enrol.c.courseid == arrival.c.courseid, ue.c.enrolid == enrol.c.id, ue.c.userid == arrival.c.userid,
        ue.c.status == 0,
    )  # fmt: skip
    query = (
        sa.select(new.c.code, sa.func.count())
        .select_from(new.join(arrival, sa.and_(arrival.c.run == new.c.run, arrival.c.courseid == new.c.courseid)))
        .where(new.c.run == campaign.run, ~enrolled)
        .group_by(new.c.code)
    )
    with campaign.engine.connect() as connection:
        for code, count in connection.execute(query):
            students = counted(count, "étudiant inscrit", "étudiants inscrits")
            yield f"espace {code}, créé : {students} dans Apogée, mais pas dans Moodle"


def _service(campaign: Campaign) -> WebService:
    if campaign.web_service is None:
        raise TransitionError(
            f"create_missing demande la connexion au service web de Moodle : déclarez connections.moodle_ws dans"
            f" include/platforms/{campaign.platform.name}.yaml."
        )
    return campaign.web_service


def _create(campaign: Campaign, service: WebService, space: NewSpace) -> None:
    found = service.call(_FIND, field="idnumber", value=space.code)["courses"]
    if len(found) > 1:
        raise TransitionError(f"{len(found)} espaces portent déjà ce code : n'en gardez qu'un.")
    action, detail = "found", "un espace porte déjà ce code"
    if not found:
        course = {
            "fullname": space.fullname, "shortname": space.code, "idnumber": space.code, "categoryid": space.category,
        }  # fmt: skip
        found = service.call(_CREATE, courses=[course])
        action, detail = "created", f"espace créé dans la catégorie {space.category}"
    _record(campaign, space, int(found[0]["id"]), action, f"{space.code} : {detail}")


def _record(campaign: Campaign, space: NewSpace, courseid: int, action: str, detail: str) -> None:
    """Note the space, and its context as one of the run's; Moodle's database must know it by its code."""
    course, context, missing = campaign.moodle["course"], campaign.moodle["context"], tables.missing_space
    query = (
        sa.select(context.c.id)
        .join(course, course.c.id == context.c.instanceid)
        .where(context.c.contextlevel == COURSE, course.c.id == courseid, course.c.idnumber == space.code)
    )
    with campaign.engine.begin() as connection:
        contextid = connection.execute(query).scalar()
        if contextid is None:
            raise TransitionError(
                f"l'espace {courseid} que donne le service web n'est pas dans la base {campaign.moodle.schema} : la"
                f" connexion {campaign.platform.connections.moodle_ws} est celle d'un autre site, ou la base une copie"
            )
        row = {
            "run": campaign.run, "contextid": contextid, "courseid": courseid, "contextlevel": COURSE,
            "instanceid": courseid, "module": "",
        }  # fmt: skip
        connection.execute(sa.insert(tables.space_context).prefix_with("IGNORE").values(row))
        mine = sa.and_(missing.c.run == campaign.run, missing.c.cle == space.cle)
        connection.execute(sa.update(missing).where(mine).values(courseid=courseid))
        journal.record(connection, campaign, STAGE, action, courseid=courseid, table_name="course", detail=detail)
