"""The DAGs, as in tests/dags."""

from tests.dags.conftest import dags, moodle_connection

__all__ = ["dags", "moodle_connection"]
