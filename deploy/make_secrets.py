"""`make secrets`: a random value for each secret that compose.yaml asks for, in a file that only its owner can read.

What is in the file already stays as it is, so that a new secret of a later release can be added to those in use.
"""

import os
import re
import secrets
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_ASKED: Final = re.compile(r"\$\{([A-Z_]+):\?")


def main(path: Path) -> None:
    """Write what is missing, and say what that was."""
    made = path.read_text(encoding="ascii") if path.exists() else ""
    there = {line.partition("=")[0] for line in made.splitlines()}
    missing = [name for name in asked((ROOT / "compose.yaml").read_text(encoding="utf-8")) if name not in there]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "a", encoding="ascii") as file:
        file.writelines(f"{name}={secrets.token_urlsafe(32)}\n" for name in missing)
    print(f"{path}: made {', '.join(missing) or 'nothing: every secret is there'}")


def asked(text: str) -> list[str]:
    """Return the names of the variables without which a compose file can't be used."""
    return sorted(set(_ASKED.findall(text)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
