"""State tables of the enrolment: who is to be enrolled, and what ex_ renaming replaced."""

import sqlalchemy as sa

from transition.state.tables import MOMENT, state_table


def _run() -> sa.Column[int]:
    return sa.Column("run", sa.Integer, primary_key=True, autoincrement=False)


def _courseid() -> sa.Column[int]:
    return sa.Column("courseid", sa.BigInteger, primary_key=True, autoincrement=False)


arrival = state_table(
    "arrival",  # every (space, known user) that Apogée registers for year N: repeaters and newcomers
    _run(),
    _courseid(),
    sa.Column("userid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("timestart", sa.BigInteger, nullable=False),  # Unix time, 0 = none, as in user_enrolments
    sa.Column("timeend", sa.BigInteger, nullable=False),
)

route = state_table(
    "route",  # the elements whose students go to a space: its own, and those it hosts (it is their porteur)
    _run(),
    _courseid(),
    sa.Column("cle", sa.String(100), primary_key=True),
)

student_account = state_table(
    "student_account",  # the Moodle account of each student of the lot of year N who has one
    _run(),
    sa.Column("code_etudiant", sa.String(20), primary_key=True),
    sa.Column("userid", sa.BigInteger, nullable=False),
    sa.Index("student_account_user", "run", "userid"),
)

unknown_student = state_table(
    "unknown_student",  # registered for year N in a space of the run, without an account in Moodle
    _run(),
    sa.Column("code_etudiant", sa.String(20), primary_key=True),
)

group_route = state_table(
    "group_route",  # the group of Moodle that a group of Apogée fills, in each space that it is for
    _run(),
    _courseid(),
    sa.Column("code_groupe", sa.String(100), primary_key=True),
    sa.Column("name", sa.String(254), nullable=False),  # of the group, if it has to be created
    sa.Column("groupid", sa.BigInteger),  # NULL until the group is created
    sa.Index("group_route_group", "run", "groupid"),
)

own_cohort = state_table(
    "own_cohort",  # the cohorts that the campaign fills and empties; none on a platform of enrol_database
    _run(),
    sa.Column("idnumber", sa.String(100), primary_key=True),
    sa.Column("cohortid", sa.BigInteger),  # NULL until the cohort is created
    sa.Column("courseid", sa.BigInteger, nullable=False),  # the space in scope whose rows its old members are
    sa.Index("own_cohort_cohort", "run", "cohortid"),
)

cohort_space = state_table(
    "cohort_space",  # the spaces in which a cohort enrols
    _run(),
    _courseid(),
    sa.Column("idnumber", sa.String(100), primary_key=True),
)

cohort_student = state_table(
    "cohort_student",  # who belongs in a cohort for year N
    _run(),
    sa.Column("idnumber", sa.String(100), primary_key=True),
    sa.Column("userid", sa.BigInteger, primary_key=True, autoincrement=False),
)

ex_change = state_table(
    "ex_change",  # what a space was before the campaign of that year archived it, or took it out of Archives again
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    _courseid(),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("at", MOMENT, nullable=False),
    sa.Column("archived_in", sa.Integer),  # taken out again: the year whose campaign had archived it; NULL: archived
    sa.Column("fullname", sa.String(1333), nullable=False),
    sa.Column("shortname", sa.String(255), nullable=False),
    sa.Column("idnumber", sa.String(100), nullable=False),
    sa.Column("category", sa.BigInteger, nullable=False),
    sa.Column("place", sa.BigInteger, nullable=False),  # its rank in the category, from 1
    sa.Column("timemodified", sa.BigInteger, nullable=False),
    sa.Column("new_fullname", sa.String(1333), nullable=False),  # what the campaign wrote instead
    sa.Column("new_shortname", sa.String(255), nullable=False),
    sa.Column("new_idnumber", sa.String(100), nullable=False),
    sa.Column("visible", sa.SmallInteger, nullable=False),
    sa.Column("new_visible", sa.SmallInteger, nullable=False),  # what the campaign, or the expiry after it, wrote
)

ex_link = state_table(
    "ex_link",  # the instances of enrol_cohort that the campaign of that year disabled, or enabled again
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    _courseid(),
    sa.Column("enrolid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("status", sa.SmallInteger, nullable=False),  # before
    sa.Column("new_status", sa.SmallInteger, nullable=False),  # what the campaign wrote
)
