"""Groups of the spaces, filled from Apogée's groups once the purge has emptied them."""

import time
from collections import Counter
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.apogee.tables import groupe, groupe_membre, run_lot
from transition.campaign import Campaign
from transition.enrolment.tables import arrival, group_route, route, student_account
from transition.french import counted
from transition.state import tables

_NAME = 254  # characters of groups.name


def record_groups(connection: sa.Connection, campaign: Campaign) -> None:
    """Fill ``group_route`` anew for the run: the Moodle group of each group of Apogée, NULL while there is none.

    A group of Moodle is that of Apogée whose code is its idnumber, else, for a group without idnumber, whose label is
    its name, if one only in the space has that label: the groups of an element and of one that its space hosts are
    often both « TD 1 ». Needs ``route`` and the lot of year N.
    """
    connection.execute(sa.delete(group_route).where(group_route.c.run == campaign.run))
    given = (
        sa.select(route.c.courseid, groupe.c.code_groupe, sa.func.min(groupe.c.libelle))
        .select_from(route.join(groupe, sa.and_(groupe.c.lot_id == _lot(campaign), groupe.c.cle == route.c.cle)))
        .where(route.c.run == campaign.run)
        .group_by(route.c.courseid, groupe.c.code_groupe)
        .order_by(route.c.courseid, groupe.c.code_groupe)
    )
    wanted = [(courseid, code, (label or code)[:_NAME]) for courseid, code, label in connection.execute(given)]
    courses = sorted({courseid for courseid, _, _ in wanted})
    found = _known_groups(connection, campaign, courses)
    names = Counter((courseid, name) for courseid, _, name in wanted)
    rows = []
    for courseid, code, name in wanted:
        groupid = found.get((courseid, "idnumber", compare_key(code)))
        if groupid is None and names[courseid, name] == 1:
            groupid = found.get((courseid, "name", name))
        rows.append({"run": campaign.run, "courseid": courseid, "code_groupe": code, "name": name, "groupid": groupid})
    if rows:
        connection.execute(sa.insert(group_route), rows)


def fill_groups(connection: sa.Connection, campaign: Campaign, courses: list[int]) -> int:
    """Put the enrolled students of Apogée's groups into the groups of some spaces; returns the memberships added.

    A group that is missing is created as ``groups_create_group`` does; one that Apogée does not know stays empty.
    Members, and those of the group's conversation where it has one, are written as ``groups_add_member`` writes them.
    In an order, so that a run started again writes the same rows whatever plan the server takes. Needs
    ``group_route`` and ``arrival``; twice changes nothing.
    """
    _create_groups(connection, campaign, courses)
    moment, members = int(time.time()), campaign.moodle["groups_members"]
    present = members.alias("present")
    wanted = _wanted(campaign, courses).subquery()
    joined = wanted.outerjoin(
        present, sa.and_(present.c.groupid == wanted.c.groupid, present.c.userid == wanted.c.userid)
    )
    values = {"groupid": wanted.c.groupid, "userid": wanted.c.userid, "timeadded": sa.literal(moment),
              "component": sa.literal(""), "itemid": sa.literal(0)}  # fmt: skip
    missing = sa.select(*values.values()).select_from(joined).where(present.c.id.is_(None))
    missing = missing.order_by(wanted.c.groupid, wanted.c.userid)
    added = connection.execute(sa.insert(members).from_select(list(values), missing)).rowcount
    _fill_conversations(connection, campaign, courses, moment)
    return added


def member_again(campaign: Campaign, name: str, rows: sa.FromClause) -> sa.ColumnElement[bool] | None:
    """Whether Apogée gives for year N the very membership that a row of the Moodle table ``name`` is; None: no such."""
    if name == "groups_members":
        return _given(campaign, rows.c.groupid, rows.c.userid)
    if name == "message_conversation_members":
        talk = campaign.moodle["message_conversations"].alias("talk")
        of_group = sa.and_(talk.c.id == rows.c.conversationid, *_of_groups(talk))
        return sa.exists().where(of_group, _given(campaign, talk.c.itemid, rows.c.userid)).correlate(rows)
    return None


def unfilled_groups(campaign: Campaign) -> Iterator[str]:
    """For verify: groups whose members are not Apogée's, teachers aside; French sentences."""
    members, people = campaign.moodle["groups_members"], tables.standing
    decision = tables.decision.c
    in_scope = sa.select(decision.courseid).where(decision.run == campaign.run, decision.in_scope == sa.true())
    with campaign.engine.connect() as connection:
        courses = list(connection.execute(in_scope).scalars())
        wanted = _wanted(campaign, courses).subquery()
        same = sa.and_(members.c.groupid == wanted.c.groupid, members.c.userid == wanted.c.userid)
        missing = sa.select(sa.func.count()).select_from(wanted).where(~sa.exists().where(same).correlate(wanted))
        teaches = sa.exists().where(
            people.c.run == campaign.run, people.c.courseid == group_route.c.courseid,
            people.c.userid == members.c.userid, people.c.standing == "teacher",
        )  # fmt: skip
        strangers = (
            sa.select(sa.func.count())
            .select_from(group_route.join(members, members.c.groupid == group_route.c.groupid))
            .where(group_route.c.run == campaign.run, group_route.c.courseid.in_(courses))
            .where(~teaches, ~sa.exists().where(same).correlate(members))
        )
        if count := connection.execute(missing).scalar():
            absent = counted(count, "étudiant manque", "étudiants manquent")
            yield f"groupes : {absent} dans leur groupe d'Apogée, relancez l'étape enrolment"
        if count := connection.execute(strangers).scalar():
            extra = counted(count, "membre n'est pas", "membres ne sont pas")
            yield f"groupes : {extra} du groupe d'Apogée, à retirer dans Moodle"


def _known_groups(
    connection: sa.Connection, campaign: Campaign, courses: Collection[int]
) -> dict[tuple[int, str, str], int]:
    """Groups of some spaces: (courseid, "idnumber", its compare key), or (courseid, "name", name) of one without."""
    table, found = campaign.moodle["groups"], dict[tuple[int, str, str], int]()
    known = sa.select(table.c.id, table.c.courseid, table.c.idnumber, table.c.name).where(table.c.courseid.in_(courses))
    for groupid, courseid, idnumber, name in connection.execute(known.order_by(table.c.id)):
        key = (courseid, "idnumber", compare_key(idnumber)) if idnumber else (courseid, "name", name)
        found.setdefault(key, groupid)  # the oldest of several, each time
    return found


def _create_groups(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> None:
    """No enrolment key, visible to all, for participation: the columns' defaults."""
    table, moment = campaign.moodle["groups"], int(time.time())
    missing = sa.and_(
        group_route.c.run == campaign.run, group_route.c.courseid.in_(courses), group_route.c.groupid.is_(None)
    )
    for courseid, code, name in connection.execute(
        sa.select(group_route.c.courseid, group_route.c.code_groupe, group_route.c.name)
        .where(missing)
        .order_by(group_route.c.courseid, group_route.c.code_groupe)
    ).all():
        values = {"courseid": courseid, "idnumber": code, "name": name, "timecreated": moment, "timemodified": moment}
        groupid = connection.execute(sa.insert(table).values(values)).lastrowid
        of_group = sa.and_(group_route.c.courseid == courseid, group_route.c.code_groupe == code)
        connection.execute(sa.update(group_route).where(missing, of_group).values(groupid=groupid))


def _wanted(campaign: Campaign, courses: Collection[int]) -> sa.Select[int, int]:
    """``groupid`` and ``userid`` of every membership that Apogée gives, of students enrolled in the space."""
    return (
        sa.select(group_route.c.groupid, student_account.c.userid)
        .select_from(_memberships(campaign))
        .where(group_route.c.run == campaign.run, group_route.c.courseid.in_(courses))
        .distinct()
    )


def _given(campaign: Campaign, groupid: sa.ColumnElement[int], userid: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    found = sa.exists().select_from(_memberships(campaign)).where(
        group_route.c.run == campaign.run, group_route.c.groupid == groupid, student_account.c.userid == userid
    )  # fmt: skip
    return found.correlate_except(group_route, groupe_membre, student_account, arrival)


def _memberships(campaign: Campaign) -> sa.Join:
    """``group_route`` joined to the known students of Apogée's groups who are registered in the space."""
    of_group = sa.and_(
        groupe_membre.c.lot_id == _lot(campaign), groupe_membre.c.code_groupe == group_route.c.code_groupe
    )
    account = sa.and_(
        student_account.c.run == group_route.c.run, student_account.c.code_etudiant == groupe_membre.c.code_etudiant
    )
    enrolled = sa.and_(
        arrival.c.run == group_route.c.run, arrival.c.courseid == group_route.c.courseid,
        arrival.c.userid == student_account.c.userid,
    )  # fmt: skip
    return group_route.join(groupe_membre, of_group).join(student_account, account).join(arrival, enrolled)


def _of_groups(conversations: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    """Conversations of groups, while they are enabled."""
    return (
        conversations.c.component == "core_group", conversations.c.itemtype == "groups", conversations.c.enabled == 1
    )  # fmt: skip


def _fill_conversations(connection: sa.Connection, campaign: Campaign, courses: list[int], moment: int) -> None:
    """Members of a group are members of its conversation while that is enabled (``add_members_to_conversation``)."""
    moodle = campaign.moodle
    conversations, members = moodle["message_conversations"], moodle["message_conversation_members"]
    wanted, present = _wanted(campaign, courses).subquery(), members.alias("present")
    of_group = sa.and_(conversations.c.itemid == wanted.c.groupid, *_of_groups(conversations))
    joined = wanted.join(conversations, of_group).outerjoin(
        present,
        sa.and_(present.c.conversationid == conversations.c.id, present.c.userid == wanted.c.userid),
    )
    values = {"conversationid": conversations.c.id, "userid": wanted.c.userid, "timecreated": sa.literal(moment)}
    missing = sa.select(*values.values()).select_from(joined).where(present.c.id.is_(None))
    missing = missing.order_by(conversations.c.id, wanted.c.userid)
    connection.execute(sa.insert(members).from_select(list(values), missing))


def _lot(campaign: Campaign) -> sa.ScalarSelect[str]:
    lot = run_lot.c
    return sa.select(lot.lot_id).where(lot.run == campaign.run, lot.annee == campaign.year).scalar_subquery()
