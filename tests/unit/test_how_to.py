"""What the how-tos have people do with containers and clusters, held against the files that they do it with."""

import itertools
import re
import shlex

import pytest
import yaml

from tests.documents import ROOT, commands

PAGES = sorted(f"docs/how-to/{path.name}" for path in (ROOT / "docs/how-to").glob("*.md"))
DONE_HERE = {"saga", "psql"}
"""In `tests/acceptance/test_runbook.py`; every command of the other pages in a test of the page's own."""
WITH_TESTS_OF_THEIR_OWN = {
    "docs/how-to/own-saga.md",
    "docs/how-to/own-participant.md",
    "docs/how-to/backup-and-restore.md",
    "docs/how-to/on-call.md",
}
ASKED = [
    (page, shlex.split(command))
    for page in PAGES
    if page not in WITH_TESTS_OF_THEIR_OWN
    for command in commands(page)
    if command.split()[0] not in DONE_HERE
]


@pytest.mark.parametrize(("page", "words"), ASKED, ids=lambda asked: " ".join(asked) if isinstance(asked, list) else None)
def test_what_is_typed_names_what_is_there(page: str, words: list[str]) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "docker":
        services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
        scaled = [word.partition("=")[0] for before, word in itertools.pairwise(words) if before == "--scale"]
        assert set(scaled) <= services.keys()
        assert words[2:4] == ["--env-file", "deploy/secrets.env"]
    else:
        assert words[0] == "kubectl", words
        files = [yaml.safe_load_all(path.read_text()) for path in (ROOT / "deploy/kubernetes").glob("*.yaml")]
        known = [document for documents in files for document in documents]
        names = {d["metadata"]["name"]: d for d in known if d.get("kind") == "Deployment"}
        named = re.findall(r"deployment[/ ](\w+)", " ".join(words))
        assert set(named) <= names.keys()
        assert named or (ROOT / words[-1] / "kustomization.yaml").exists()
        for container, _ in (word.split("=") for word in words if "=" in word):
            assert container in {each["name"] for each in names[named[0]]["spec"]["template"]["spec"]["containers"]}
        spaces = [word for before, word in itertools.pairwise(words) if before == "--namespace"]
        assert set(spaces) <= {d["metadata"]["name"] for d in known if d.get("kind") == "Namespace"}


def test_every_page_is_done_by_a_test() -> None:
    assert {page for page, _ in ASKED} | WITH_TESTS_OF_THEIR_OWN == set(PAGES)
