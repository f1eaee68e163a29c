"""Calendars of their own: the exceptions that pedagogical engineers enter, and the spaces whose date has come."""
