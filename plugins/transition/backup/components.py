"""The July backup, component by component: which there are, and each one's spaces.

A component (UFR, institut…) is a top category of Moodle, which every space has, modelled in Apogée or not.
"""

from collections.abc import Sequence
from typing import TypedDict

from transition import journal
from transition.backup.rows import concerned_spaces
from transition.backup.stage import back_up_spaces
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.french import counted
from transition.preflight import check_backup
from transition.spaces import Space, read_spaces, record_contexts, refuse_unknown_courses
from transition.state import schema

MOST = 200  # tasks of one run: Airflow handles no more with ease
NAMELESS = 0  # of spaces whose category is gone


class Component(TypedDict):
    """A component, as tasks hand it on: its name and the ids of its top categories."""

    name: str
    categories: list[int]


def components(campaign: Campaign) -> list[Component]:
    """The components to back up, by name; opens the run.

    Beyond :data:`MOST`, the last one holds all the others. Needs neither the Apogée feed nor decisions. Raises
    :class:`TransitionError` with all that would stop the backup, for a code that no space has, or without any space.
    """
    check_backup(campaign)
    schema.upgrade(campaign)
    with journal.stage(campaign, "july_components") as closing:
        refuse_unknown_courses(campaign, read_spaces(campaign))
        record_contexts(campaign)
        spaces = _spaces(campaign)
        found = {_top(space): space.category.split(" / ")[0] or "Sans catégorie" for space in spaces}
        ordered = sorted(found, key=lambda top: (found[top], top))
        listed = _bounded([Component(name=found[top], categories=[top]) for top in ordered])
        closing["detail"] = (
            f"{counted(len(spaces), 'espace', 'espaces')}, {counted(len(listed), 'composante', 'composantes')}"
        )
    return listed


def back_up_component(campaign: Campaign, component: Component) -> None:
    """Back up the spaces of one component; see :func:`transition.backup.stage.back_up_spaces`."""
    spaces = {space.courseid: space.code for space in _spaces(campaign) if _top(space) in component["categories"]}
    back_up_spaces(campaign, spaces, f"Composante « {component['name']} »")


def close_backup(campaign: Campaign) -> None:
    """Every space once more: what a component missed or changed since is backed up, the rest is found in order.

    Raises :class:`~transition.backup.stage.IncompleteBackupError` that names each space without a verified backup.
    """
    back_up_spaces(campaign, {space.courseid: space.code for space in _spaces(campaign)}, "Toutes les composantes")


def _spaces(campaign: Campaign) -> list[Space]:
    """The spaces that the run concerns, with their categories as they are now."""
    concerned = concerned_spaces(campaign)
    if not concerned:
        raise TransitionError(
            f"Aucun espace à sauvegarder ({campaign.platform.label}) : relancez d'abord la tâche components."
        )
    return [space for space in read_spaces(campaign) if space.courseid in concerned]


def _top(space: Space) -> int:
    return space.path[0] if space.path else NAMELESS


def _bounded(listed: Sequence[Component]) -> list[Component]:
    if len(listed) <= MOST:
        return list(listed)
    others = listed[MOST - 1 :]
    merged = [top for component in others for top in component["categories"]]
    return [*listed[: MOST - 1], Component(name=f"{len(others)} autres composantes", categories=merged)]
