"""Run by Alembic: migrate over the connection and into the schema that :mod:`transition.state.schema` hands over."""

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table_schema=attributes["schema"])
with context.begin_transaction():
    context.run_migrations()
