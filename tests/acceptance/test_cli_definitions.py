"""`saga definitions`, and what every command says of a team's module that can't be used: real processes."""

import json
import textwrap
from pathlib import Path

import pytest

from orchestrator.sagas import SHIPPED
from participants.settings import PORTS
from tests.acceptance.commands import assert_told, saga

pytestmark = pytest.mark.acceptance

MODULE = """
    from pydantic import BaseModel
    from orchestrator.saga import Saga, Step
    from participants.contracts import Answer, Endpoint, Wire

    class Trip(BaseModel):
        nights: int

    class Room(Wire):
        room_id: str

    class Booked(Answer):
        room_id: str

    book = Step(
        name="{step}",
        request=lambda ctx: Room(room_id=ctx.order_id),
        action=Endpoint("hotel", "POST", "/rooms", Room, Booked),
        compensation=Endpoint("hotel", "DELETE", "/rooms/{{room_id}}", Room, Booked),
    )
    TRIP = Saga(name="{name}", version={version}, input=Trip, steps=(book,), says="Books a room.", stands=lambda trip: {{}})
"""
NOWHERE = {"SAGA_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}


def write(folder: Path, module: str = "trips", *, name: str = "trip", step: str = "book", version: int = 1) -> None:
    (folder / f"{module}.py").write_text(textwrap.dedent(MODULE).format(name=name, step=step, version=version))


@pytest.mark.parametrize("command", [["orchestrator"], ["edge"], ["up"], ["audit"], ["definitions", "list"]])
def test_a_module_that_can_not_be_used_stops_the_start_in_one_sentence(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path, name="place_order")

    result = saga(*command, cwd=tmp_path, SAGA_DEFINITIONS="trips", **NOWHERE)

    assert_told(result, 2, "SAGA_DEFINITIONS: module trips names a saga place_order, which is one that ships")


def test_what_there_is_can_be_listed_and_shown(tmp_path: Path) -> None:
    write(tmp_path)

    listed = json.loads(saga("definitions", "list", "--json", cwd=tmp_path, SAGA_DEFINITIONS="trips").stdout)
    shown = saga("definitions", "show", "trip", cwd=tmp_path, SAGA_DEFINITIONS="trips").stdout

    assert [found["name"] for found in listed["sagas"]] == [*(shipped.name for shipped in SHIPPED), "trip"]
    assert "trip, version 1: Books a room." in shown
    assert "hotel: POST /rooms" in shown
    assert "DELETE /rooms/{room_id}" in shown
    assert "needs: nights" in shown


def test_one_can_be_drawn_either_way(tmp_path: Path) -> None:
    both = saga("definitions", "draw", "place_order", cwd=tmp_path).stdout
    one = saga("definitions", "draw", "place_order", "--kind", "state", cwd=tmp_path).stdout

    assert both.count("```mermaid\n") == 2
    assert one.startswith("stateDiagram-v2\n")


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["show", "nothing"], 1, "there is no saga nothing"),
        (["draw", "nothing"], 1, "there is no saga nothing"),
        (["draw"], 2, "name a saga, or a document"),
    ],
)
def test_what_is_not_there_is_told_of(tmp_path: Path, command: list[str], code: int, says: str) -> None:
    assert_told(saga("definitions", *command, cwd=tmp_path), code, says)


def test_what_is_wrong_with_modules_is_listed_and_fails(tmp_path: Path) -> None:
    write(tmp_path, name="a trip")
    (tmp_path / "empty.py").touch()

    result = saga("definitions", "check", "trips", "empty", "nowhere", "--json", cwd=tmp_path)

    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert [finding["says"] for finding in found["findings"]] == [
        "its name must be lower-case letters, digits and _, a letter first, at most 63",
        "module empty holds no Saga at its top level",
        "SAGA_DEFINITIONS: module nowhere can't be imported: No module named 'nowhere'",
    ]
    assert found["sagas"] == ["a trip"]


def test_code_that_was_changed_under_its_version_is_told_of_before_it_is_deployed(tmp_path: Path, ledger_url: str) -> None:
    settings = {"SAGA_DEFINITIONS": "trips", "SAGA_DATABASE_URL": ledger_url}
    write(tmp_path)
    before = saga("definitions", "check", cwd=tmp_path, **settings)
    saga("participants", "add", "hotel", "http://127.0.0.1:1", cwd=tmp_path, **settings)
    known = saga("definitions", "check", cwd=tmp_path, **settings)
    register(tmp_path, settings)
    write(tmp_path, step="rent")
    changed = saga("definitions", "check", cwd=tmp_path, **settings)
    started = saga("orchestrator", cwd=tmp_path, **settings)
    write(tmp_path, step="rent", version=2)
    raised = saga("definitions", "check", cwd=tmp_path, **settings)

    assert "participant hotel has no address" in before.stdout
    assert (known.returncode, "hotel" in known.stdout) == (0, False)
    assert changed.returncode == 1
    assert "its code is not that which the ledger has as version 1 (book is gone, rent is new)" in changed.stdout
    assert_told(started, 1, "saga trip was changed but is still version 1")
    assert raised.returncode == 0, raised.stdout


def test_a_teams_invariant_is_audited(tmp_path: Path, ledger_url: str) -> None:
    write(tmp_path)
    (tmp_path / "audit").mkdir()
    header = "-- title: No trips\n-- database: ledger\n-- kind: invariant\n-- a row means: somebody knows of trips\n"
    (tmp_path / "audit/no_trips.sql").write_text(header + "select saga from saga_definition where saga = 'trip';\n")
    # Not at their own ports, where a stack of somebody's may run.
    away = {f"SAGA_{name.upper()}_URL": "http://127.0.0.1:1" for name in PORTS}
    settings = {"SAGA_DEFINITIONS": "trips", "SAGA_DATABASE_URL": ledger_url, **away}

    before = saga("audit", "--json", cwd=tmp_path, timeout_s=120, **settings)
    register(tmp_path, settings)
    after = saga("audit", "--json", cwd=tmp_path, timeout_s=120, **settings)

    assert json.loads(before.stdout)["violations"] == []
    (violation,) = json.loads(after.stdout)["violations"]
    assert (violation["query"], violation["row"]) == ("no_trips", {"saga": "trip"})


def register(folder: Path, settings: dict[str, str]) -> None:
    """Have the ledger know the definitions, as a process that starts does: one that then finds its port taken."""
    result = saga("edge", cwd=folder, **settings, SAGA_API_KEYS="shop=key-1234", SAGA_HOST="203.0.113.1", SAGA_PORT="9")
    assert result.returncode == 1, result.stderr
