"""Code and commands as a document shows them, for tests that do what it says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(document: str) -> list[str]:
    """What is typed after a prompt, in order; a line that ends in a backslash goes on in the next."""
    typed = [block.replace("\\\n", "") for block in blocks(document, "console")]
    return [line.removeprefix("$ ") for block in typed for line in block.splitlines() if line.startswith("$ ")]
