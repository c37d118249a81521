"""A team's modules: found where they are, and refused in one sentence when they can't be used."""

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.loading import ModuleUnusable, find_queries, load_sagas, registered
from orchestrator.sagas import SHIPPED
from orchestrator.settings import Settings, SettingsError, load_settings
from sql.auditing import load_audit

HEAD = """
from orchestrator.saga import Invariant, Saga, Step, StepKind
from orchestrator.sagas.place_order import PLACE_ORDER
from tests.unit.definitions.team import BOOK, LEAVE, BookRoom, Trip, saga, step
"""
Write = Callable[..., str]
numbers = iter(range(1000))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module into the working directory; gives its name."""
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    def written(source: str) -> str:
        name = f"team_module_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(HEAD + textwrap.dedent(source))
        return name

    yield written
    sys.path[:] = before


def test_every_saga_at_the_top_level_is_found_once(write: Write) -> None:
    one = write("ONE = saga(name='one')\nALIAS = ONE\nHIDDEN = [saga(name='hidden')]\nSHOP = PLACE_ORDER")
    two = write(f"from {one} import ONE\nTWO = saga(name='two')\nTWO_ANEW = saga(name='two', version=2)")

    found = [(saga.name, saga.version) for saga in load_sagas([one, two])]

    assert found == [("one", 1), ("two", 1), ("two", 2)]


def test_they_stand_beside_those_that_ship(write: Write) -> None:
    settings = load_settings(definitions=write("ONE = saga(name='one')"))

    assert [saga.name for saga in registered(settings)] == [*(saga.name for saga in SHIPPED), "one"]
    assert registered(Settings()) == SHIPPED


def test_tries_that_expire_before_all_their_attempts_are_refused(write: Write) -> None:
    """One after the other they take longer than at once, which is what the settings alone make sure of."""
    source = """
    from dataclasses import replace
    from orchestrator.sagas.checkout_tcc import CHECKOUT_TCC
    SLOW = replace(CHECKOUT_TCC, name="slow", steps=tuple(replace(step, group=None) for step in CHECKOUT_TCC.steps))
    """
    module = write(source)
    assert "slow" in {saga.name for saga in registered(load_settings(definitions=module))}

    with pytest.raises(SettingsError, match=r"saga slow can't be run .* expires after 400 s \(SAGA_RESERVATION_S\)"):
        registered(load_settings(definitions=module, reservation_s=400.0))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import nothing_of_the_kind", "can't be imported: No module named 'nothing_of_the_kind'"),
        ("this is no Python", "can't be imported: SyntaxError"),
        ("EMPTY = Saga(name='empty', version=1, input=Trip, steps=())", "DefinitionError: saga empty has no steps"),
        ("raise SystemError('a\\nb')", "can't be imported: SystemError: a b"),
        ("raise SystemExit(3)", "can't be imported: SystemExit: 3"),
        ("SAGAS = ()", "holds no Saga at its top level"),
        ("MINE = saga(name='place_order')", "names a saga place_order, which is one that ships"),
        ("ONE = saga(name='one')\nTWO = saga(name='one')", "two sagas are named one and are version 1"),
        ("ONE = saga(name='My Saga')", "saga My Saga: its name must be"),
        (
            "ONE = saga(invariants=(Invariant('nothing_of_the_kind', 'all is well'),))",
            "audit query nothing_of_the_kind, which is",
        ),
        ("BAD = saga(step(request=lambda ctx: BookRoom(room_id='', nights=ctx.input.days)))", "reads `input.days`"),
    ],
)
def test_a_module_that_can_not_be_used_is_told_of_in_one_sentence(write: Write, source: str, says: str) -> None:
    name = write(source)

    with pytest.raises(ModuleUnusable, match=rf"^SAGA_DEFINITIONS: .*{re.escape(says)}[^\n]*$"):
        load_sagas([name])


QUERY = """-- title: Trips are paid
-- database: ledger
-- kind: invariant
-- a row means: a trip has ended that was not paid
select order_ledger_id from order_ledger where saga = 'trip' and total_minor is null;
"""


def test_the_queries_of_its_invariants_stand_beside_a_module(write: Write, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/trips_are_paid.sql").write_text(QUERY)
    module = write(
        "ONE = saga(invariants=(Invariant('trips_are_paid', 'trips are paid'), Invariant('ledger_chain_intact', '')))"
    )
    other = write("TWO = saga(name='two')")

    assert [saga.name for saga in load_sagas([module, other])] == ["trip", "two"]
    shipped = load_audit()
    assert find_queries([]) == shipped
    assert {query.name for query in find_queries([module, other])} == {*(query.name for query in shipped), "trips_are_paid"}


def test_a_query_of_a_name_that_ships_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/ledger_chain_intact.sql").write_text(QUERY)

    with pytest.raises(ModuleUnusable, match="two audit queries are named ledger_chain_intact"):
        load_sagas([write("ONE = saga(name='one')")])


def test_a_module_that_is_not_there_is_told_of() -> None:
    with pytest.raises(ModuleUnusable, match=r"module shop\.nowhere can't be imported: No module named 'shop"):
        load_sagas(["shop.nowhere"])


@pytest.mark.parametrize("value", ["shop/sagas.py", "shop..sagas", "shop,", "1shop", "shop, other"])
def test_what_is_no_list_of_modules_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^SAGA_DEFINITIONS: "):
        load_settings(definitions=value)
