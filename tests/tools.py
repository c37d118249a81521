"""Programs that tests need beside Python, from the test set-up or the system: Prometheus and its tools, a browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "monitoring" / "usr" / "bin"
"""Where `make test` unpacks the system's packages."""


def tool(*names: str) -> str:
    """Path of a program, which may have several names. Without it the test is skipped, but fails where `CI` is set."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=str(FOLDER))
        if found is not None:
            return found
    missing = f"{names[0]} is missing: `make test` gets it from the system's packages, where it can"
    (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


def run(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a folder."""
    command = [tool(name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
