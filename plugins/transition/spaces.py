"""The course spaces of a platform, the categories that decide on them, and every context in them."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.campaign import Campaign
from transition.enrolment.tables import ex_change
from transition.errors import TransitionError, refuse_all
from transition.ex_changes import archived, code_before, visible_before
from transition.ex_names import ARCHIVED_PREFIX
from transition.french import counted
from transition.moodle.categories import category_ids
from transition.rules.compile import COURSE, MODULE
from transition.state import tables

SITE_COURSE = 1  # Moodle's SITEID
_INSIDE = (MODULE, 80)  # activities and blocks (CONTEXT_BLOCK); sections have no context


@dataclass(frozen=True)
class Space:
    """A course as the platform holds it now.

    :param code: its idnumber; of an archived one whose idnumber is kept ``apart``, the one it had before.
    :param category: names of its categories, from the top. :param path: their ids.
    :param visible: of an archived one that the expiry hid, as it was before.
    """

    courseid: int
    code: str
    shortname: str
    fullname: str
    category: str
    path: tuple[int, ...]
    visible: bool = True
    apart: bool = False

    @property
    def key(self) -> str:
        """The code's compare key, '' without a code."""
        return compare_key(self.code)


@dataclass(frozen=True)
class DecidingCategories:
    """Ids of the two categories that exclude what is in or below them."""

    complementary: int
    archives: int


def check_categories(campaign: Campaign) -> list[str]:
    """French findings on the platform's two categories, for preflight."""
    try:
        deciding_categories(campaign)
    except TransitionError as error:
        return [str(error)]
    return []


def deciding_categories(campaign: Campaign) -> DecidingCategories:
    """The platform's two categories, found by idnumber (text) or id (number).

    Raises one :class:`TransitionError` that names each one that is missing or found more than once.
    """
    found, findings = [], []
    for name in ("complementary", "archives"):
        wanted = getattr(campaign.platform.categories, name)
        ids = category_ids(campaign.moodle, wanted)
        found.append(ids[0] if ids else 0)
        if len(ids) != 1:
            named = "l'id" if isinstance(wanted, int) else "l'idnumber"
            found_categories = counted(len(ids), "catégorie", "catégories") if ids else "aucune catégorie"
            findings.append(
                f"categories.{name} : {found_categories} de Moodle avec {named} « {wanted} », une seule est attendue"
            )
    refuse_all(f"Corrigez include/platforms/{campaign.platform.name}.yaml ou les catégories de Moodle :", findings)
    return DecidingCategories(*found)


def read_categories(campaign: Campaign) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Every category: its names from the top, « A / B », and their ids."""
    category = campaign.moodle["course_categories"].c
    names, paths = {}, {}
    with campaign.engine.connect() as connection:
        for id_, name, path in connection.execute(sa.select(category.id, category.name, category.path)):
            names[id_], paths[id_] = name, tuple(int(part) for part in path.split("/") if part)
    return {id_: (" / ".join(names.get(part, "?") for part in path), path) for id_, path in paths.items()}


def read_spaces(campaign: Campaign) -> list[Space]:
    """Every course of the platform, the site page aside."""
    course, categories, changes = campaign.moodle["course"].c, read_categories(campaign), archived(campaign)
    query = (
        sa.select(course.id, course.idnumber, course.shortname, course.fullname, course.category, course.visible)
        .where(course.id != SITE_COURSE)
        .order_by(course.id)
    )
    found = []
    with campaign.engine.connect() as connection:
        for row in connection.execute(query):
            code, visible = None, row.visible
            if change := changes.get(row.id):
                code, visible = code_before(change, row.idnumber), visible_before(change, row.visible)
            found.append(
                Space(
                    row.id, row.idnumber if code is None else code, row.shortname, row.fullname,
                    *categories.get(row.category, ("", ())), visible=bool(visible), apart=code is not None,
                )
            )  # fmt: skip
    return found


def looks_archived(space: Space, categories: DecidingCategories) -> bool:
    """Whether a space is named ``ex_`` or lies in or below « Archives »."""
    named = space.fullname.startswith(ARCHIVED_PREFIX) or space.shortname.startswith(ARCHIVED_PREFIX)
    return named or categories.archives in space.path


def refuse_unknown_courses(campaign: Campaign, spaces: Collection[Space]) -> None:
    """Raise :class:`TransitionError` if the run is limited to codes that none of these spaces has."""
    codes = {space.code for space in spaces}
    refuse_all(
        f"Codes demandés qu'aucun espace ne porte ({campaign.platform.label}) ; corrigez le formulaire :",
        [f"« {code} »{_nearest(code, codes)}" for code in campaign.courses if code not in codes],
    )


def _nearest(code: str, codes: Collection[str]) -> str:
    alike = [known for known in codes if compare_key(known) == compare_key(code)]
    return f" (écrit « {alike[0]} » dans Moodle)" if alike else ""


def record_contexts(campaign: Campaign) -> int:
    """Fill ``space_context`` anew for the run: every context of every course that it concerns; returns their number.

    A run limited to some course codes concerns the courses of these idnumbers only, and those that had one before they
    were archived. A context lies in a course when its path begins with the course context's path (Moodle
    ``context_helper::build_all_paths``).
    """
    moodle, target = campaign.moodle, tables.space_context
    course, context, inner = (
        moodle["course"],
        moodle["context"].alias("course_context"),
        moodle["context"].alias("inside"),
    )
    modules, cm = moodle["modules"], moodle["course_modules"]
    archived = sa.select(ex_change.c.courseid).where(ex_change.c.idnumber.in_(campaign.courses))
    asked = sa.or_(course.c.idnumber.in_(campaign.courses), course.c.id.in_(archived))
    courses = sa.and_(course.c.id != SITE_COURSE, asked if campaign.courses else sa.true())
    at_course = context.join(course, sa.and_(course.c.id == context.c.instanceid, context.c.contextlevel == COURSE))
    of_courses = sa.select(
        sa.literal(campaign.run),
        context.c.id,
        course.c.id,
        context.c.contextlevel,
        context.c.instanceid,
        sa.literal(""),
    ).select_from(at_course)
    # sargable on Moodle's index of context.path: LIKE 'path/%' of each course context
    inside = at_course.join(inner, inner.c.path.like(sa.func.concat(context.c.path, "/%")))
    with_module = inside.outerjoin(
        cm, sa.and_(inner.c.contextlevel == MODULE, cm.c.id == inner.c.instanceid)
    ).outerjoin(modules, modules.c.id == cm.c.module)
    of_inside = (
        sa.select(
            sa.literal(campaign.run), inner.c.id, course.c.id, inner.c.contextlevel, inner.c.instanceid,
            sa.func.coalesce(modules.c.name, ""),
        )
        .select_from(with_module)
        .where(inner.c.contextlevel.in_(_INSIDE))
        .prefix_with("STRAIGHT_JOIN")
    )  # fmt: skip
    columns = ["run", "contextid", "courseid", "contextlevel", "instanceid", "module"]
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(target).where(target.c.run == campaign.run))
        for query in (of_courses, of_inside):
            connection.execute(sa.insert(target).from_select(columns, query.where(courses)))
        return connection.execute(
            sa.select(sa.func.count()).select_from(target).where(target.c.run == campaign.run)
        ).scalar_one()
