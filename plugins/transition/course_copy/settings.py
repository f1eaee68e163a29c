"""Settings of Moodle changed for the time of a command (``admin/cli/cfg.php``), and put back whatever happens.

Moodle's ``backup.php`` and ``restore_backup.php`` take no options: what they include is the site's defaults
(``backup_controller_dbops::apply_config_defaults``, ``restore_controller_dbops::apply_config_defaults``).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.course_copy.tables import held_setting
from transition.errors import TransitionError
from transition.moodle.command_line import CommandLine

Setting = tuple[str, str]  # plugin and name, as in Moodle's table `config_plugins`


@contextmanager
def held(campaign: Campaign, command: CommandLine, wanted: Mapping[Setting, str]) -> Iterator[None]:
    """Give settings other values until the block ends; what they were is written down before the first change.

    Raises :class:`TransitionError` if Moodle keeps another value, as it does for a setting fixed in its config.php.
    """
    try:
        for setting, value in wanted.items():
            _remember(campaign, setting)
            _set(campaign, command, setting, value)
        yield
    finally:
        put_back(campaign, command)


def put_back(campaign: Campaign, command: CommandLine) -> None:
    """Put every held setting back, those that a killed run left included; does nothing without any."""
    with campaign.engine.connect() as connection:
        rows = connection.execute(sa.select(held_setting)).all()
    for row in rows:
        _set(campaign, command, (row.plugin, row.name), row.value)
        with campaign.engine.begin() as connection:
            mine = sa.and_(held_setting.c.plugin == row.plugin, held_setting.c.name == row.name)
            connection.execute(sa.delete(held_setting).where(mine))


def _remember(campaign: Campaign, setting: Setting) -> None:
    plugin, name = setting
    values = {"plugin": plugin, "name": name, "value": _present(campaign, setting), "run": campaign.run}
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(held_setting).values(values))


def _set(campaign: Campaign, command: CommandLine, setting: Setting, value: str | None) -> None:
    """Set or, with None, unset; then read it again in the database."""
    if _present(campaign, setting) == value:
        return
    plugin, name = setting
    change = "--unset" if value is None else f"--set={value}"
    command.run("cfg.php", f"--component={plugin}", f"--name={name}", change)
    if (found := _present(campaign, setting)) != value:
        raise TransitionError(
            f"Le réglage {plugin} | {name} de Moodle reste « {found} » après cfg.php, « {value} » était attendu :"
            " vérifiez que moodle_command est bien celle de ce site, et remettez ce réglage à la main."
        )


def _present(campaign: Campaign, setting: Setting) -> str | None:
    table = campaign.moodle["config_plugins"].c
    query = sa.select(table.value).where(table.plugin == setting[0], table.name == setting[1])
    with campaign.engine.connect() as connection:
        value = connection.execute(query).scalar()
    return None if value is None else str(value)
