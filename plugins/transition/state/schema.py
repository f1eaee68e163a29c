"""Create and upgrade a platform's state schema, with Alembic."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from transition.campaign import Campaign
from transition.moodle.database import quoted


def upgrade(campaign: Campaign) -> None:
    """Create the schema ``<platform>_transition`` if it is missing and bring its tables to this version.

    Safe to repeat, and after a kill: the server commits each CREATE TABLE, so migrations create only what is missing.
    """
    name = quoted(campaign.state_schema)
    with campaign.server.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with campaign.lock("state"), campaign.engine.begin() as connection:
        config.attributes.update(connection=connection, schema=campaign.state_schema)
        command.upgrade(config, "head")
