"""The only code of the project that imports Airflow: connections, tasks, approval, timetable, operator's command."""
