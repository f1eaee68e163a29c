"""How Apogée codes are compared."""

# Some codes were typed with one of these: "certains collent un espace insécable dans leur code ELP" (ApoSE).
_INVISIBLE = dict.fromkeys(map(ord, "\u00a0\u202f\u2007\u2060\u200b\ufeff"))


def compare_key(code: str) -> str:
    """The key that two spellings of one code share: no non-breaking or zero-width space, trimmed, upper case.

    For comparison only: what is stored and shown is the code itself, byte for byte.
    """
    return code.translate(_INVISIBLE).strip().upper()
