"""What a PromQL expression asks for: metrics, and the labels and values that it knows of them. A reader, not a parser."""

import re
from dataclasses import dataclass

from tests.metrics import EXPOSED, PROCESS

OF_THE_SCRAPE = {"job", "instance"}
_METRIC = re.compile(r"\b((?:saga|http|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without) \(([^)]*)\)")


@dataclass(frozen=True)
class Asked:
    """One metric in an expression, with its matchers as label, operator and value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    @property
    def labels(self) -> set[str]:
        """Labels that it has, by all jobs that expose it."""
        base = re.sub(r"_(bucket|count|sum)$", "", self.name)
        if self.name == "up" or self.name in PROCESS:
            return set(OF_THE_SCRAPE)
        found = [labels for of in EXPOSED.values() for name, labels in of.items() if name in (self.name, base)]
        assert found, f"nobody exposes {self.name}"
        return OF_THE_SCRAPE | set().union(*found) | ({"le"} if self.name.endswith("_bucket") else set())


def asked(expression: str) -> list[Asked]:
    """Return every metric of an expression."""
    return [Asked(name, tuple(_MATCHER.findall(matchers))) for name, matchers in _METRIC.findall(expression)]


def grouped(expression: str) -> set[str]:
    """Return the labels by which an expression groups."""
    return {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")}
