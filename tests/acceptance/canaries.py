"""Marks for what must not be seen: secrets and what tells of a person. Whatever a stack shows is searched for them."""

from collections.abc import Mapping
from pathlib import Path

SECRET = "qx7secret"
"""Part of every secret that is planted."""
PERSON = "qx7person"
"""Part of everything that is planted and tells of a person."""
ADDRESS = {
    "name": f"{PERSON} Ann",
    "lines": [f"Row 7, {PERSON} House"],
    "city": f"{PERSON} Town",
    "postal_code": f"{PERSON}7",
    "country": "GB",
}
PAYMENT_METHOD = f"pm_{PERSON}"


def showing(outputs: Mapping[str, str], *marks: str) -> dict[str, list[str]]:
    """Return the outputs that show a mark, each with the places where it does."""
    found: dict[str, list[str]] = {}
    for name, text in outputs.items():
        lower = text.lower()
        places = [at for mark in marks for at in _places(lower, mark)]
        if places:
            found[name] = [text[max(at - 200, 0) : at + 60] for at in places[:3]]
    return found


def logs_in(folder: Path) -> dict[str, str]:
    """Return what the parts of a stack have logged, by file."""
    return {path.name: path.read_text(errors="replace") for path in sorted(folder.glob("**/*.log"))}


def _places(text: str, mark: str) -> list[int]:
    places, at = [], text.find(mark)
    while at >= 0:
        places.append(at)
        at = text.find(mark, at + 1)
    return places
