"""HTML as values: whatever is no markup of ours is text, and is escaped."""

from collections.abc import Iterable
from html import escape
from typing import Final

_CODE_MARK: Final = "`"


class Html(str):
    """Markup that stands as it is."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str) -> Html:
    """Return an element.

    Args:
        name: Of the element.
        children: `Html` as it is, any other string as text.
        attributes: Their names with `_` for `-`, and one at the end where Python has the word for itself.
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[str], between: str = "") -> Html:
    """Return several one after the other, with a text between them."""
    return Html(escape(between).join(child if isinstance(child, Html) else escape(child) for child in children))


def code(text: str) -> Html:
    """Return what is to be read letter by letter."""
    return tag("code", text)


def prose(text: str) -> Html:
    """Return a text in which what stands in backquotes is code; one without its partner is a letter like others."""
    parts = text.split(_CODE_MARK)
    if len(parts) % 2 == 0:
        return join([text])
    return join(code(part) if number % 2 else part for number, part in enumerate(parts))
