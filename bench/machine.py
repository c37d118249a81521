"""What figures depend on: machine, versions, code, load."""

import contextlib
import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from bench.contestant import Contestant
from bench.job import ROOT
from bench.server import Server


def facts_of(server: Server, contestants: list[Contestant]) -> dict[str, str]:
    """Return what stands below the figures."""
    packages = dict.fromkeys(package for contestant in contestants for package in contestant.packages)
    packages |= dict.fromkeys(("psycopg", "aiohttp", "uvloop", "httptools"))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "code": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB, {platform.system()} {platform.machine()}",
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
        "server": server.version,
        "versions": ", ".join([f"Python {platform.python_version()}", *(_version(package) for package in packages)]),
    }


def _version(package: str) -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return f"{package} {metadata.version(package)}"
    return f"{package} (not installed)"


def _commit() -> str:
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
