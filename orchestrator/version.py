"""Which version this is, installed or run from its source."""

import tomllib
from importlib import metadata
from pathlib import Path


def version() -> str:
    """Return it, such as 0.1.0."""
    try:
        return metadata.version("sagaledger")
    except metadata.PackageNotFoundError:
        source = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(source.read_text(encoding="utf-8"))["project"]["version"])
