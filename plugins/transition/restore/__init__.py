"""Restore: a reset space comes back by its code, from the archive schema or from the off-server backup."""
