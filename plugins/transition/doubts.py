"""What makes a person look at a space before the campaign does with it what the model says."""

from typing import TYPE_CHECKING

from transition.apogee.codes import compare_key
from transition.apogee.model import Model
from transition.ex_names import ARCHIVED_PREFIX

if TYPE_CHECKING:
    from transition.decisions import Space


def doubt(space: "Space", decision: str, model: Model) -> tuple[str, str] | None:
    """Why a person must look before what the model says is done."""
    if decision in ("reset", "archive") and (other := _named_after(space, model)):
        return "hold", (
            f"il porte le nom d'un autre élément, « {other} », que celui de son numéro d'identification,"
            f" {space.code} : corriger l'un des deux"
        )
    if decision == "reset" and not space.visible:
        return "hold", (
            f"dans la maquette {model.year}, mais caché : l'afficher s'il sert cette année, sinon lui ôter son numéro"
            " d'identification"
        )
    return None


def _named_after(space: "Space", model: Model) -> str:
    """The code of another element that a space bears as its name (« CODE », « CODE - libellé »); '' for none.

    Not that of its host, or of an element that it hosts: one space serves both.
    """
    for name in (space.shortname, space.fullname.partition(" - ")[0]):
        key = compare_key(name.removeprefix(ARCHIVED_PREFIX))
        same_space = key in model.hosting.get(space.key, ()) or space.key in model.hosting.get(key, ())
        if key != space.key and model.knows(key) and not same_space:
            return name
    return ""
