"""The two stages: list what is due; once a person approved, prove it, then delete or hide it."""

import logging
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from transition import journal, preflight
from transition.campaign import Campaign, now
from transition.errors import TransitionError, UnreachableError, refuse_all
from transition.expiry import proof, spaces
from transition.expiry.age import open_campaign
from transition.expiry.destroy import destroy, left
from transition.expiry.due import find
from transition.expiry.item import Item, fingerprint, load, mine, store
from transition.expiry.page import list_page, size, title
from transition.expiry.tables import expiry_item
from transition.french import counted, number
from transition.plan import approved_by, store_fingerprint, stored_fingerprint
from transition.restore.put_back import STAGE as RESTORE
from transition.restore.stage import under_way
from transition.state import schema

STAGE = "expiry"
_READERS = ("july_backup", "grade_exports", "restore_drill", "maintenance")
_STALE = (
    "La liste approuvée est périmée, rien de plus n'est supprimé : lancez une nouvelle exécution et approuvez la"
    " nouvelle liste. Ont changé depuis :"
)
_log = logging.getLogger(__name__)


def list_due(campaign: Campaign, moment: datetime | None = None) -> None:
    """Write down everything that is due, with its fingerprint, and what is kept, and why; print it.

    Deletes nothing. A run that has begun to delete keeps its list. Raises :class:`TransitionError` for another site's
    database, and while a campaign, a restore or a drill is under way.
    :param moment: the list is that of this moment (UTC); None: now.
    """
    _check(campaign)
    with campaign.lock(STAGE), journal.stage(campaign, "expiry_list") as closing:
        if not _has_begun(campaign):
            items = list(find(campaign, moment or now()))
            store(campaign, items)
            store_fingerprint(campaign, fingerprint(items))
        due, every = len(due_items(campaign)), len(load(campaign))
        closing["detail"] = f"{counted(due, 'élément', 'éléments')} à l'échéance, {number(every - due)} à garder"
    print(page(campaign))


def due_items(campaign: Campaign) -> list[Item]:
    """What the run's list says goes."""
    return [item for item in load(campaign) if item.action != "keep"]


def page(campaign: Campaign) -> str:
    """The run's list, as Markdown."""
    return list_page(campaign, load(campaign))


def expire(campaign: Campaign, moment: datetime | None = None) -> None:
    """Delete or hide what was listed and approved, the proof first; check that nothing is left.

    Everything is found and measured again before the first deletion: raises :class:`TransitionError` if what was
    approved has changed since. Killed at any point and run again, it goes on from there. A space that is not archived
    any more, or that Moodle does not delete, does not block the others: an error at the end names it; it is an
    :class:`UnreachableError` where a later try may succeed.
    :param moment: as for :func:`list_due`.
    """
    if campaign.dry_run:
        raise TransitionError("Exécution à blanc : rien n'est supprimé, relancez avec dry_run décoché.")
    _check(campaign)
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        if approved_by(campaign) is None:
            raise TransitionError(
                f"La liste de l'exécution {campaign.run_id} n'est pas approuvée : approuvez-la d'abord dans Airflow."
            )
        # Once the lock is taken, as a restore does with its own: the two must never meet.
        refuse_all("Conservation, rien n'est supprimé :", list(preflight.running(campaign, [RESTORE, *_READERS])))
        changed = _changed(campaign)
        if not _has_begun(campaign):
            _begin(campaign, moment or now())
        campaign.take_fence()  # a campaign that waits for its approval starts again from its preflight
        try:
            failures, worth_a_try = _destroy_all(campaign, changed)
        finally:
            proof.write(campaign)
        items = due_items(campaign)
        todo = spaces.purge_caches(campaign) if any(item.action == "hide" for item in items) else ""
        if failures:
            error = UnreachableError if worth_a_try else TransitionError
            raise error("\n".join(["Des espaces ne sont ni supprimés ni masqués :", *failures]))
        refuse_all("Après l'expiration :", [fault for item in items for fault in left(campaign, item)])
        closing["detail"] = counted(len(items), "élément supprimé ou masqué", "éléments supprimés ou masqués")
        if todo:
            closing["detail"] += f" ; {todo}"
    _log.info("%s : %s.", campaign.platform.label, closing["detail"])


def _check(campaign: Campaign) -> None:
    """Refuse another site's database, and whoever else writes or reads what may go. Makes the state schema."""
    refuse_all("Conservation :", list(preflight.other_site(campaign)))
    schema.upgrade(campaign)
    busy = preflight.other_writers(campaign, also=_READERS)
    refuse_all(
        "Conservation, rien n'est listé ni supprimé :",
        [*busy, *under_way(campaign), *open_campaign(campaign)],
    )


def _has_begun(campaign: Campaign) -> bool:
    return any(state != "listed" for state in load(campaign).values())


def _begun(campaign: Campaign) -> list[Item]:
    return [item for item, state in load(campaign).items() if state == "begun"]


def _begin(campaign: Campaign, moment: datetime) -> None:
    """Find what was approved again, refuse if it changed, and write the proof of it.

    What has become due since is left for another run.
    """
    approved = {item.key: item for item in due_items(campaign)}
    found = {item: consists for item, consists in find(campaign, moment).items() if item.key in approved}
    if fingerprint(found) != stored_fingerprint(campaign):
        unchanged = set(found)
        refuse_all(_STALE, [title(item) for item in approved.values() if item not in unchanged] or ["la liste entière"])
    proof.write_inventories(campaign, found)
    proof.write(campaign)
    with campaign.engine.begin() as connection:
        for item in found:
            connection.execute(sa.update(expiry_item).where(mine(campaign, item)).values(state="begun"))
            detail = f"{title(item)} : {size(item) or 'à masquer'}, {item.digest}"
            of_space = int(item.name) if item.kind == "space" else None
            journal.record(
                connection, campaign, STAGE, "proven", rule=item.kind, courseid=of_space, rows_before=item.amount,
                detail=detail,
            )  # fmt: skip


def _changed(campaign: Campaign) -> dict[Item, str]:
    """For an expiry that was interrupted: the spaces that changed since the approval, and how.

    Raises :class:`TransitionError` if anything else did.
    """
    found = {item: list(proof.differences(campaign, item)) for item in _begun(campaign)}
    refuse_all(_STALE, [fault for item, faults in found.items() if item.kind != "space" for fault in faults])
    return {item: faults[0] for item, faults in found.items() if faults}


def _destroy_all(campaign: Campaign, changed: Mapping[Item, str]) -> tuple[list[str], bool]:
    """Delete or hide all that is not yet: a French sentence for each space that stays, and if a later try may help.

    :param changed: spaces that stay, and why.
    """
    failures, worth_a_try = [], False
    for item in _begun(campaign):
        try:
            if item in changed:
                raise TransitionError(f"{changed[item]} ; lancez une nouvelle exécution.")
            destroy(campaign, item, STAGE)
        except UnreachableError as error:
            failures.append(f"  - {title(item)} : {error}")
            worth_a_try = True
        except TransitionError as error:
            if item.kind != "space":
                raise
            failures.append(f"  - {error}")
    return failures, worth_a_try
