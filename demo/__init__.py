"""The demonstration university: invented data on Moodle's own table structure, in a private MariaDB."""
