"""What makes a person look at a space before the campaign does with it what the model says."""

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.apogee.model import Model
from transition.campaign import Campaign
from transition.ex_names import ARCHIVED_PREFIX
from transition.spaces import Space


def doubt(space: Space, decision: str, model: Model) -> tuple[str, str] | None:
    """Why a person must look before what the model says is done."""
    if decision in ("reset", "archive") and (other := _named_after(space, model)):
        return "hold", (
            f"il porte le nom d'un élément, « {other} », qui n'est pas celui de son numéro d'identification,"
            f" {space.code} : corriger l'un des deux"
        )
    if decision == "reset" and not space.visible:
        return "hold", (
            f"dans la maquette {model.year}, mais caché : l'afficher s'il sert cette année, sinon lui ôter son numéro"
            " d'identification"
        )
    return None


def ambiguous_forums(campaign: Campaign) -> dict[int, str]:
    """Spaces where a forum of a single discussion has several, by course id, and what to do about it.

    Somebody has changed its type. The first post of such a forum stays, being the activity's own text; of several,
    Moodle shows the one that was written in last, and the others are messages like any other.
    """
    if "forum" not in campaign.moodle:  # a module that the site has uninstalled
        return {}
    forum, discussion = campaign.moodle["forum"], campaign.moodle["forum_discussions"]
    query = (
        sa.select(forum.c.course, forum.c.name, sa.func.count())
        .select_from(forum.join(discussion, discussion.c.forum == forum.c.id))
        .where(forum.c.type == "single")
        .group_by(forum.c.id, forum.c.course, forum.c.name)
        .having(sa.func.count() > 1)
        .order_by(forum.c.id)
        .prefix_with("STRAIGHT_JOIN")
    )
    found: dict[int, str] = {}
    with campaign.engine.connect() as connection:
        for courseid, name, count in connection.execute(query):
            sentence = (
                f"le forum « {name} », à discussion unique, en contient {count}, et rien ne dit laquelle est son texte"
                " de départ : lui rendre le type qu'il avait, ou n'en laisser qu'une"
            )
            found.setdefault(courseid, sentence)
    return found


def _named_after(space: Space, model: Model) -> str:
    """The code of another element that a space bears as its name (« CODE », « CODE - libellé »); '' for none.

    Not that of its host, or of an element that it hosts: one space serves both.
    """
    for name in (space.shortname, space.fullname.partition(" - ")[0]):
        key = compare_key(name.removeprefix(ARCHIVED_PREFIX))
        same_space = key in model.hosting.get(space.key, ()) or space.key in model.hosting.get(key, ())
        if key != space.key and model.knows(key) and not same_space:
            return name
    return ""
