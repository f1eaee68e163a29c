"""The one kind of error that a user reads."""


class TransitionError(Exception):
    """A refusal: one French sentence that names the cause, the object and what to do.

    A refusal is never retried: the same input would be refused again. Any other exception is a fault; a retry may help.
    """


class UnreachableError(Exception):
    """A server does not answer now; a later try may succeed. The text is a French sentence, fit to be read alone."""


def refuse_all(intro: str, findings: list[str]) -> None:
    """Raise one :class:`TransitionError` that lists every finding, one a line; do nothing without findings."""
    if findings:
        raise TransitionError("\n".join([intro, *(f"  - {finding}" for finding in findings)]))
