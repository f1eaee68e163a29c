"""The content of an archived space into the space that succeeds it, by Moodle's own backup and restore."""
