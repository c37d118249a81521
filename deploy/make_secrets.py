"""`make secrets`: a random value for each secret that compose.yaml asks for, in a file that only its owner can read.

What is in the file already stays as it is, so that a new secret of a later release can be added to those in use. Beside it,
in a folder of the same name, is one file for each secret that containers are given as a file.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_ASKED: Final = re.compile(r"\$\{([A-Z_]+):\?")
_FILES: Final = re.compile(r"\{file: \./deploy/secrets/([a-z_]+)\}")


def main(path: Path) -> None:
    """Write what is missing, and say what that was."""
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    made = path.read_text(encoding="ascii") if path.exists() else ""
    values = dict(line.split("=", 1) for line in made.splitlines() if "=" in line)
    missing = {name: secrets.token_urlsafe(32) for name in asked(compose) if name not in values}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)  # somebody else may have made it
    with open(descriptor, "a", encoding="ascii") as file:
        file.write("\n" if made and not made.endswith("\n") else "")
        file.writelines(f"{name}={value}\n" for name, value in missing.items())
    write_files(path.with_suffix(""), _FILES.findall(compose), values | missing)
    print(f"{path}: made {', '.join(missing) or 'nothing: every secret is there'}")


def write_files(folder: Path, names: list[str], values: Mapping[str, str]) -> None:
    """Write one file for each of these secrets, as the values are now.

    A container gets the file itself and reads it as a user of its own, so its mode lets everybody read. The folder's keeps
    everybody else of this machine out, and does not matter to the container, which never sees the folder.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for name in names:
        file = folder / name
        file.unlink(missing_ok=True)  # not even its owner may write to it
        file.write_text(values[name.upper()], encoding="ascii")
        file.chmod(0o444)


def asked(text: str) -> list[str]:
    """Return the names of the variables without which a compose file can't be used."""
    return sorted(set(_ASKED.findall(text)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
