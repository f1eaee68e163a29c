"""The site of a platform: settings, plugins, roles, people and categories, as Moodle's installation leaves them."""

from __future__ import annotations

from random import Random

from demo import moments
from demo.people import Person
from demo.plan import University
from demo.rows import Rows

RELEASE, VERSION = "4.5.6 (Build: 20250811)", "2024100706"
_MODULES = (
    "assign bigbluebuttonbn book chat checklist choice choicegroup data etherpadlite feedback folder forum glossary "
    "h5pactivity hotpot hvp imscp label lesson lti offlinequiz page questionnaire quiz resource scheduler scorm "
    "simplecertificate subsection survey url wiki wooclap workshop"
)
ROLES = {  # shortname (also its archetype): levels of context where it can be given
    "manager": (10, 40, 50), "coursecreator": (10, 40), "editingteacher": (50, 70), "teacher": (50, 70),
    "student": (50, 70), "guest": (), "user": (), "frontpage": (),
}  # fmt: skip
SYSTEM, USER, CATEGORY, COURSE, MODULE, BLOCK = 10, 30, 40, 50, 70, 80
"""Levels of context (`CONTEXT_SYSTEM` and the others of Moodle's accesslib)."""


class Site:
    """Builds the rows of one platform; `users` gives the id of an account by its login."""

    def __init__(self, university: University) -> None:
        self.university = university
        self.rows = Rows()
        self.random = Random(university.platform)
        self.users: dict[str, int] = {}
        self.modules: dict[str, int] = {}
        self.roles: dict[str, int] = {}
        self.categories: dict[tuple[str, ...], tuple[int, int]] = {}
        self.numbers: dict[int, str] = {}
        self.files: set[str] = set()  # pathnamehash of every file so far: a directory has one row
        self._contexts: dict[int, int] = {}
        self._tags: dict[str, int] = {}
        self._elements: dict[str, int] = {}
        self._library = 0
        self._settings()
        self._plugins_and_roles()
        self.system = self.context(None, SYSTEM, 0)
        self._front_page()
        self._people()
        self._category_tree()

    def context(self, parent: int | None, level: int, instance: int) -> int:
        """Add a context below `parent` and return its id."""
        context = self.rows.add("context", contextlevel=level, instanceid=instance)
        above = self.rows.get("context", parent, "path") if parent else ""
        depth = self.rows.get("context", parent, "depth") + 1 if parent else 1
        self.rows.change("context", context, path=f"{above}/{context}", depth=depth)
        return context

    def assign_role(self, role: str, context: int, user: int, component: str = "", itemid: int = 0) -> None:
        """Give a role in a context; `component` and `itemid` name the enrolment that gave it."""
        self.rows.add(
            "role_assignments", roleid=self.roles[role], contextid=context, userid=user, component=component,
            itemid=itemid, timemodified=moments.OPENING, modifierid=2,
        )  # fmt: skip

    def context_of(self, user: int) -> int:
        """Return the context of an account."""
        return self._contexts[user]

    def is_gone(self, user: int) -> bool:
        """Tell whether the account was deleted."""
        return bool(self.rows.get("user", user, "deleted"))

    def tag(self, name: str) -> int:
        """Return the id of a tag, which the whole site shares."""
        if not self._tags:
            self.rows.add("tag_coll", isdefault=1, searchable=1)
        if name not in self._tags:
            self._tags[name] = self.rows.add(
                "tag", userid=2, tagcollid=1, name=name, rawname=name, timemodified=moments.OPENING
            )
        return self._tags[name]

    def scorm_element(self, name: str) -> int:
        """Return the id of a SCORM element name, which the whole site shares."""
        if name not in self._elements:
            self._elements[name] = self.rows.add("scorm_element", element=name)
        return self._elements[name]

    def hvp_library(self) -> int:
        """Return the id of the H5P library, which the whole site shares."""
        if not self._library:
            self._library = self.rows.add(
                "hvp_libraries", machine_name="H5P.MultiChoice", title="Choix multiples", major_version=1,
                minor_version=16, patch_version=14, runnable=1, embed_types="", semantics="[]",
            )  # fmt: skip
        return self._library

    def _settings(self) -> None:
        host = self.university.site.split("//")[1]
        settings = {
            "version": VERSION, "release": RELEASE, "branch": "405", "siteidentifier": f"demonstration0123456789{host}",
            "mnet_localhost_id": "1", "siteadmins": "2", "siteguest": "1", "guestroleid": "6", "defaultuserroleid": "7",
            "defaultfrontpageroleid": "8", "rolesactive": "1", "lang": "fr", "theme": "boost",
            "timezone": "Europe/Paris",
            "auth": "cas", "enablecompletion": "1", "enablebadges": "1", "enablestats": "0", "maintenance_enabled": "0",
            "maintenance_message": "", "recovergradesdefault": "0",
            "enrol_plugins_enabled": "manual,guest,self,cohort,database",
        }  # fmt: skip
        for name, value in settings.items():
            self.rows.add("config", name=name, value=value)
        enrol_database = {
            "defaultrole": "5", "localcoursefield": "idnumber", "localrolefield": "shortname",
            "localuserfield": "idnumber", "unenrolaction": "0", "version": "2024100700",
        }  # fmt: skip
        for name, value in enrol_database.items():
            self.rows.add("config_plugins", plugin="enrol_database", name=name, value=value)
        application = self.rows.add("mnet_application", name="moodle", display_name="Moodle")
        self.rows.add("mnet_host", wwwroot=self.university.site, ip_address="UNKNOWN", applicationid=application)
        self.rows.add("mnet_host", name="All Hosts", applicationid=application)

    def _plugins_and_roles(self) -> None:
        for name in _MODULES.split():
            self.modules[name] = self.rows.add("modules", name=name, visible=1)
            self.rows.add("config_plugins", plugin=f"mod_{name}", name="version", value="2024100700")
        for order, (name, levels) in enumerate(ROLES.items(), start=1):
            self.roles[name] = self.rows.add("role", shortname=name, archetype=name, sortorder=order)
            for level in levels:
                self.rows.add("role_context_levels", roleid=self.roles[name], contextlevel=level)
        for name in ("comments", "recent_activity", "html"):
            self.rows.add("block", name=name, visible=1)
        self.rows.add("scale", name="Évaluer par compétences", scale="Non acquis,En cours,Acquis", courseid=0, userid=0)

    def _front_page(self) -> None:
        site = self.rows.add(
            "course", category=0, sortorder=1, fullname=self.university.name, shortname=self.university.platform,
            idnumber="", format="site", newsitems=3, timecreated=moments.OPENING,
        )  # fmt: skip
        self.context(self.system, COURSE, site)
        self.rows.add("course_sections", course=site, section=0)

    def _people(self) -> None:
        self._account(Person("guest", "", "Utilisateur", "anonyme", "root@localhost"), "manual")
        self._account(Person("admin", "", "Admin", "Plateforme", "admin@universite.invalid"), "manual")
        university = self.university
        for person in (*university.teachers, *university.students, *university.newcomers):
            self._account(person, "cas")
        for place, person in enumerate(university.students):
            if place % 97 == 13:  # an account that was deleted during the year, with its traces
                name = f"{person.email}.{moments.at(2026, 4, 2)}"
                self.rows.change(
                    "user", self.users[person.username], deleted=1, username=name, idnumber="", email="d" * 32
                )
            elif place % 89 == 21:
                self.rows.change("user", self.users[person.username], suspended=1)

    def _account(self, person: Person, auth: str) -> None:
        seen = moments.LAST_DAY - self.random.randrange(90 * moments.DAY)
        user = self.rows.add(
            "user", auth=auth, confirmed=1, mnethostid=1, username=person.username, password="not cached",  # noqa: S106 - Moodle's own words for CAS
            idnumber=person.number, firstname=person.firstname, lastname=person.lastname, email=person.email,
            country="FR", lang="fr", timezone="99", firstaccess=moments.OPENING, lastaccess=seen, lastlogin=seen,
            currentlogin=seen, timecreated=moments.OPENING, timemodified=moments.OPENING,
        )  # fmt: skip
        self.users[person.username] = user
        self.numbers[user] = person.number
        self._contexts[user] = self.context(self.system, USER, user)

    def _category_tree(self) -> None:
        """Add every category that a space names, in the order of Moodle: a parent, then what is below it."""
        paths = {path[:depth] for space in self.university.spaces for path in [space.path] for depth in (1, 2)}
        paths.add(("Archives", "Archives 2025-2026"))
        idnumbers = {"Espaces complémentaires": "ESP-COMP", "Archives": "ARCHIVES", "Vie étudiante": "ESP-COMP-VE"}
        for order, path in enumerate(sorted(paths, key=lambda path: (path[0] in idnumbers, path)), start=1):
            above, above_context = self.categories[path[:-1]] if len(path) > 1 else (0, self.system)
            category = self.rows.add(
                "course_categories", name=path[-1], idnumber=idnumbers.get(path[-1]), parent=above, description="",
                sortorder=order * 10_000, visible=1, visibleold=1, timemodified=moments.OPENING, depth=len(path),
            )  # fmt: skip
            higher = self.rows.get("course_categories", above, "path") if above else ""
            self.rows.change("course_categories", category, path=f"{higher}/{category}")
            self.categories[path] = category, self.context(above_context, CATEGORY, category)
