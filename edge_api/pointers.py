"""JSON pointers as URI fragments (RFC 6901, section 6), for telling which member of a body is wrong."""

ROOT = "#"
"""The whole document."""


def below(pointer: str, *parts: int | str) -> str:
    """Return the pointer to a part of what a pointer names.

    Args:
        pointer: `ROOT`, or what this function returned.
        parts: Names of members and positions in arrays, from the outside in.
    """
    return pointer + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
