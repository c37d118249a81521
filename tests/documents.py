"""Code and commands as a document shows them, for tests that do what it says."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    return blocks_in((ROOT / document).read_text(encoding="utf-8"), language)


def blocks_in(text: str, language: str) -> list[str]:
    """Fenced blocks of one language in a part of a document, in order, those of lists among them."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def commands(document: str) -> list[str]:
    """What is typed after a prompt, in order; a line that ends in a backslash goes on in the next."""
    return commands_in((ROOT / document).read_text(encoding="utf-8"))


def commands_in(text: str) -> list[str]:
    """What is typed after a prompt in a part of a document, in order."""
    typed = [block.replace("\\\n", "") for block in blocks_in(text, "console")]
    return [line.removeprefix("$ ") for block in typed for line in block.splitlines() if line.startswith("$ ")]
