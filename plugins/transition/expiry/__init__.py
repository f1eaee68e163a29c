"""Expiry: what a campaign left is kept for a time, then a person approves that it goes, and the proof of it stays.

``list_due`` writes down what is due, with its fingerprint; a person approves; ``expire`` computes it again, writes the
proof (counts and digests), and only then deletes or hides. Reports and the journal are that proof: they never expire.
"""
