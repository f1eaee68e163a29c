"""Backups: the traces of course spaces, off the database server, one set of files after another.

A set is a folder ``<storage>/<platform>/<year>/backup/<set>/``: one Parquet file a table (LZ4; the space, then
Moodle's own columns; sorted by space and id; a row group holds rows of one space only), ``manifest.json``, and
``verified.json`` once everything was read back. A set holds whole spaces; a space's backup is the latest verified set
that holds it. Sets are only added: what was verified once is never written again.
"""
