"""Who has worked again in an activity since the reset: what they had done there does not come back beside it.

Moodle joins the traces of a person in an activity by the person: an old grade would show on a new submission.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from transition.restore.held import Held
from transition.restore.part import Activity, activities, find_part, person
from transition.restore.tables import restore_row
from transition.rules.branches import Branch, branches
from transition.state import tables


def old_work(connection: sa.Connection, held: Held, names: Sequence[str]) -> dict[str, set[int]]:
    """The ids, by table, of all that people who have new work in an activity had done in it before."""
    found: dict[str, set[int]] = {}
    for activity, people in _workers(connection, held, names).items():
        of_people = find_part(connection, held, names, person(*people))
        for name, ids in find_part(connection, held, names, activity.own, activity).items():
            found.setdefault(name, set()).update(ids & of_people.get(name, set()))
    return {name: ids for name, ids in found.items() if ids}


def _workers(connection: sa.Connection, held: Held, names: Sequence[str]) -> dict[Activity, set[int]]:
    """By activity, the users with both work that is held and newer work in Moodle (``work`` of the rules)."""
    known = {(one.module, one.instance): one for one in activities(connection, held.campaign, held.courseid)}
    found: dict[Activity, set[int]] = {}
    for paths in branches(held.campaign.moodle).values():
        for path in paths:
            if path.work and path.table in names and not held.lost(path.table):
                for instance, userid in connection.execute(_both(connection, held, path)).all():
                    if activity := known.get((path.parent, instance)):
                        found.setdefault(activity, set()).add(userid)
    return found


def _both(connection: sa.Connection, held: Held, path: Branch) -> sa.Select[Any]:
    """Activity and user of the work that is held and has newer work beside it in Moodle."""
    rows, table, new = restore_row, held.table(path.table), held.campaign.moodle[path.table].alias("new")
    instance, userid = table.c[str(path.by)], table.c[str(path.work)]
    last = _last_id(connection, held, path.table)
    newer = sa.and_(new.c[str(path.by)] == instance, new.c[str(path.work)] == userid, new.c.id > last)
    here = (rows.c.run == held.campaign.run, rows.c.table_name == path.table)
    return (
        sa.select(instance, userid)
        .select_from(rows.join(table, table.c.id == rows.c.id).join(new, newer))
        .where(*here, userid > 0)  # 0: a group's
        .distinct()
    )


def _last_id(connection: sa.Connection, held: Held, name: str) -> int:
    """The last id that the table had at the space's last reset: what a restore puts back is below, new work above."""
    keys, stored = held.keys(name), tables.snapshot.c
    # A run that was refused at its freeze has keys and no snapshot: it reset nothing.
    resets = sa.select(keys.c.run).where(keys.c.courseid == held.courseid)
    query = sa.select(stored.max_id).where(stored.run.in_(resets), stored.table_name == name)
    return int(connection.execute(query.order_by(stored.run.desc()).limit(1)).scalar() or 0)
