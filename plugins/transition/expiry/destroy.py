"""Delete or hide one item, and see that nothing of it is left."""

from collections.abc import Iterator

import sqlalchemy as sa
from upath import UPath

from transition import journal
from transition.backup.manifest import VERIFIED
from transition.campaign import Campaign, now
from transition.errors import TransitionError
from transition.expiry import spaces
from transition.expiry.item import Item, folder_of, mine
from transition.expiry.page import size, title
from transition.expiry.tables import expiry_item
from transition.moodle.database import quoted


def destroy(campaign: Campaign, item: Item, stage: str) -> None:
    """Delete or hide an item whose proof is written, check it, and journal it; does nothing twice.

    Raises :class:`TransitionError` for a space that is not archived any more, or if something is left.
    """
    if item.kind == "space":
        if fault := spaces.still_archived(campaign, item):
            raise TransitionError(f"{title(item)} : {fault} ; lancez une nouvelle exécution.")
        if item.action == "delete":
            spaces.delete(campaign, item)
    elif item.kind == "schema":
        with campaign.server.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {quoted(item.name)}"))
    else:
        _remove(folder_of(campaign, item))
    with campaign.engine.begin() as connection:
        if item.action == "hide":
            spaces.hide(connection, campaign, item)
            _record(connection, campaign, item, stage)
    if item.action == "hide":
        return
    if fault := next(left(campaign, item), ""):
        raise TransitionError(f"{fault} : voyez les droits du compte, puis relancez la tâche.")
    with campaign.engine.begin() as connection:
        _record(connection, campaign, item, stage)


def left(campaign: Campaign, item: Item) -> Iterator[str]:
    """The finding, if the item, or a part of it, is still there."""
    if item.kind == "space":
        there = not spaces.is_over(campaign, item)
    elif item.kind == "schema":
        query = sa.text("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = :name")
        with campaign.server.connect() as connection:
            there = bool(connection.execute(query, {"name": item.name}).scalar())
    else:
        there = folder_of(campaign, item).exists()
    if there:
        yield f"encore là : {title(item)}"


def _remove(folder: UPath) -> None:
    """Remove a folder; a backup set stops being a verified one before its first file goes."""
    if not folder.exists():
        return
    for mark in folder.glob(f"*/{VERIFIED}"):
        mark.unlink()
    folder.fs.rm(folder.path, recursive=True)


def _record(connection: sa.Connection, campaign: Campaign, item: Item, stage: str) -> None:
    action = "hidden" if item.action == "hide" else "deleted"
    connection.execute(sa.update(expiry_item).where(mine(campaign, item)).values(state="done", done_at=now()))
    of_space = int(item.name) if item.kind == "space" else None
    values = {"rows_before": item.amount, "rows_after": 0} if item.action == "delete" else {}
    detail = " : ".join(part for part in (title(item), size(item)) if part)
    journal.record(connection, campaign, stage, action, rule=item.kind, courseid=of_space, detail=detail, **values)
