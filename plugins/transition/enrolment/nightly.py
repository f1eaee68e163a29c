"""What Moodle's next synchronisation will do that the stage cannot prevent: said in the plan and in the journal."""

from collections.abc import Iterator

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.cohorts import cohorts_to_keep
from transition.enrolment.people import is_ours
from transition.enrolment.tables import cohort_space, cohort_student, own_cohort
from transition.french import counted
from transition.state import tables

_BACK = (
    "étudiant sorti reviendra par une cohorte liée à son espace : videz-la ou déliez-la",
    "étudiants sortis reviendront par une cohorte liée à leur espace : videz-la ou déliez-la",
)
_HELD = (
    "étudiant sorti reviendra par une cohorte qui tient aussi des inscriptions à garder (espace non réinitialisé,"
    " enseignant) : ne la videz pas",
    "étudiants sortis reviendront par une cohorte qui tient aussi des inscriptions à garder (espace non réinitialisé,"
    " enseignant) : ne la videz pas",
)
_LINKED = (
    "étudiant sorti reviendra par le lien (enrol_meta) de son espace à un espace non réinitialisé où il reste inscrit",
    "étudiants sortis reviendront par le lien (enrol_meta) de leur espace à un espace non réinitialisé où ils restent"
    " inscrits",
)
_ELSEWHERE = (
    "inscription viendra des cohortes remplies, la nuit prochaine, dans un autre espace qui leur est lié",
    "inscriptions viendront des cohortes remplies, la nuit prochaine, dans d'autres espaces qui leur sont liés",
)


def synchronised(campaign: Campaign) -> str:
    """A warning for the journal: whom the synchronisation brings back, or elsewhere; '' if nobody."""
    held = campaign.moodle["cohort_members"].c.cohortid.in_(cohorts_to_keep(campaign))
    said = (
        (_coming_back(campaign, ~held), _BACK),
        (_coming_back(campaign, held), _HELD),
        (_coming_back_by_link(campaign), _LINKED),
        (_expected_elsewhere(campaign), _ELSEWHERE),
    )
    with campaign.engine.connect() as connection:
        counts = [(connection.execute(query).scalar_one(), words) for query, words in said]
    return "".join(f" ; {counted(count, *words)}" for count, words in counts if count)


def taken_away(campaign: Campaign) -> Iterator[str]:
    """Spaces that wait, and lose students by their link (enrol_meta) to one in scope, which these leave; in French."""
    decision, waiting, people = tables.decision, tables.decision.alias("waiting"), tables.standing
    link, ue = campaign.moodle["enrol"].alias("link"), campaign.moodle["user_enrolments"]
    reset = sa.and_(decision.c.run == campaign.run, decision.c.in_scope, decision.c.courseid == link.c.customint1)
    waits = sa.and_(waiting.c.run == campaign.run, waiting.c.courseid == link.c.courseid)
    leaves = sa.and_(
        people.c.run == campaign.run, people.c.courseid == decision.c.courseid, people.c.userid == ue.c.userid,
        people.c.standing == "leaving",
    )  # fmt: skip
    named = (waiting.c.code, waiting.c.shortname, decision.c.code)
    query = (
        sa.select(*named, sa.func.count())
        .select_from(link.join(decision, reset).join(waiting, waits).join(ue, ue.c.enrolid == link.c.id))
        .join(people, leaves)
        .where(link.c.enrol == "meta", link.c.status == 0, waiting.c.decision.in_(("defer", "hold")))
        .group_by(*named)
        .order_by(*named)
    )
    with campaign.engine.connect() as connection:
        for code, shortname, other, count in connection.execute(query):
            who = counted(count, "étudiant en sortira", "étudiants en sortiront")
            yield (
                f"espace {code or shortname}, qui attend : {who} à la prochaine synchronisation de Moodle, par son lien"
                f" (enrol_meta) à {other}, d'où l'exécution les désinscrit ; différez aussi {other}, ou"
                " inscrivez-les autrement"
            )


def _coming_back(campaign: Campaign, which: sa.ColumnElement[bool]) -> sa.Select[int]:
    """Number of students who left a space in scope and are still members of a cohort that enrols there."""
    decision = tables.decision
    enrol, member = campaign.moodle["enrol"], campaign.moodle["cohort_members"]
    linked = decision.join(
        enrol, sa.and_(enrol.c.courseid == decision.c.courseid, enrol.c.enrol == "cohort", enrol.c.status == 0)
    ).join(member, member.c.cohortid == enrol.c.customint1)
    return (
        sa.select(sa.func.count())
        .select_from(linked)
        .where(decision.c.run == campaign.run, decision.c.in_scope == sa.true(), which)
        .where(_left(campaign, decision.c.courseid, member.c.userid))
    )


def _coming_back_by_link(campaign: Campaign) -> sa.Select[int]:
    """Number of students who left a space in scope that enrol_meta links to one out of scope, where they are still."""
    decision, other = tables.decision, tables.decision.alias("other_decision")
    enrol, ue = campaign.moodle["enrol"], campaign.moodle["user_enrolments"]
    link = enrol.alias("link")
    linked = sa.and_(link.c.courseid == decision.c.courseid, link.c.enrol == "meta", link.c.status == 0)
    reset = sa.and_(other.c.run == campaign.run, other.c.courseid == link.c.customint1, other.c.in_scope == sa.true())
    # A link takes over every enrolment of the other space but those by a link of its own.
    still = sa.and_(enrol.c.courseid == link.c.customint1, enrol.c.enrol != "meta")
    students = (
        sa.select(decision.c.courseid, ue.c.userid)
        .select_from(
            decision.join(link, linked).outerjoin(other, reset).join(enrol, still).join(ue, ue.c.enrolid == enrol.c.id)
        )
        .where(decision.c.run == campaign.run, decision.c.in_scope == sa.true(), other.c.courseid.is_(None))
        .where(_left(campaign, decision.c.courseid, ue.c.userid))
        .distinct()
    )
    return sa.select(sa.func.count()).select_from(students.subquery())


def _left(campaign: Campaign, courseid: sa.ColumnElement[int], userid: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    people = tables.standing
    return sa.exists().where(
        people.c.run == campaign.run, people.c.courseid == courseid, people.c.userid == userid,
        people.c.standing == "leaving",
    )  # fmt: skip


def _expected_elsewhere(campaign: Campaign) -> sa.Select[int]:
    """Number of enrolments that the cohorts just filled will make in other linked spaces."""
    enrol, ue, user = (campaign.moodle[name] for name in ("enrol", "user_enrolments", "user"))
    filled = sa.exists().where(
        cohort_space.c.run == own_cohort.c.run, cohort_space.c.idnumber == own_cohort.c.idnumber,
        cohort_space.c.courseid == enrol.c.courseid,
    )  # fmt: skip
    linked = sa.and_(enrol.c.customint1 == own_cohort.c.cohortid, enrol.c.enrol == "cohort", enrol.c.status == 0)
    belongs = sa.and_(cohort_student.c.run == own_cohort.c.run, cohort_student.c.idnumber == own_cohort.c.idnumber)
    return (
        sa.select(sa.func.count())
        .select_from(
            own_cohort.join(enrol, linked)
            .join(cohort_student, belongs)
            .join(user, sa.and_(user.c.id == cohort_student.c.userid, user.c.deleted == 0))
            .outerjoin(ue, sa.and_(ue.c.enrolid == enrol.c.id, ue.c.userid == cohort_student.c.userid))
        )
        .where(own_cohort.c.run == campaign.run, ue.c.id.is_(None))
        .where(~sa.and_(filled, is_ours(campaign, enrol.c.courseid)))
    )
