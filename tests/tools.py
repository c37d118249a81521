"""Programs that tests need beside Python: Prometheus and its tools, from the test set-up or the system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "monitoring" / "usr" / "bin"
"""Where `make test` unpacks the system's packages."""


def tool(name: str) -> str:
    """Path of a program. Without it the test is skipped, but fails where everything has to be tested (`CI` is set)."""
    found = shutil.which(name) or shutil.which(name, path=str(FOLDER))
    if found is None:
        missing = f"{name} is missing: `make test` gets it from the system's packages, where it can"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found


def run(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a folder."""
    command = [tool(name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
