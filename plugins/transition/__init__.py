"""The annual transition of a Moodle platform: a plain Python library, independent of Airflow."""
