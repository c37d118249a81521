"""`make audit-deps`: whether a vulnerability is known of anything that the lock files name.

Exit code: 0 when everything was looked up and nothing is known; 1 when something is; 2 when the database can't be reached or
does not know a package, so that nothing can be said of it. What could not be looked up is never taken for sound.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

TIMEOUT_S: Final = 600
KNOWN, NOT_AUDITED = 1, 2


def main(locks: Sequence[str]) -> int:
    """Audit lock files one after the other; print what was found, and return the exit code."""
    verdicts = [audited(lock) for lock in locks]
    # Something that is known weighs more than something that is not.
    return KNOWN if KNOWN in verdicts else max(verdicts, default=NOT_AUDITED)


def audited(lock: str) -> int:
    """Audit one lock file."""
    auditor = Path(sys.executable).with_name("pip-audit")
    command = [
        auditor,
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner",
        "off",
        "--format",
        "json",
        "--requirement",
        lock,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"{lock}: NOT AUDITED: the vulnerability database can't be reached: {reason}", file=sys.stderr)
        return NOT_AUDITED
    verdict, sentences = judged(dependencies)
    for sentence in sentences:
        print(f"{lock}: {sentence}", file=sys.stderr if verdict else sys.stdout)
    return verdict


def judged(dependencies: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit code for what pip-audit said of a lock file, and what to say of it."""
    known = [
        f"VULNERABLE {found['name']} {found['version']}: {vulnerability['id']},"
        f" mended in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for found in dependencies
        for vulnerability in found.get("vulns", ())
    ]
    skipped = [found["name"] for found in dependencies if "skip_reason" in found]
    if skipped:
        unknown = f"NOT AUDITED: {len(skipped)} of {len(dependencies)}, which the database does not know: {', '.join(skipped)}"
        return (KNOWN if known else NOT_AUDITED), [*known, unknown]
    return (KNOWN, known) if known else (0, [f"{len(dependencies)} packages, and no vulnerability of any is known"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
