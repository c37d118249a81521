"""Which hosts a listener serves."""

import pytest

from edge_api.heads import served_hosts

LOOPBACK = ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1.2.3", "[::1]"]
ELSEWHERE = [
    "evil.example",
    "localhost.evil.example",
    "10.0.0.7",
    "0.0.0.0",
    "[::]",
    "[2001:db8::1]",
    "",
    "127.0.0.1.evil.example",
]


@pytest.mark.parametrize("bound", ["127.0.0.1", "::1", "localhost", "127.0.0.9"])
def test_what_is_bound_to_loopback_and_guarded_serves_loopbacks_names_only(bound: str) -> None:
    serves = served_hosts(None, bound, guarded=True)

    assert serves is not None
    assert [name for name in LOOPBACK if not serves(name)] == []
    assert [name for name in ELSEWHERE if serves(name)] == []


@pytest.mark.parametrize(("bound", "guarded"), [("127.0.0.1", False), ("0.0.0.0", True), ("10.0.0.7", True), ("::", False)])
def test_without_a_list_other_listeners_serve_any_host(bound: str, guarded: bool) -> None:
    assert served_hosts(None, bound, guarded=guarded) is None


@pytest.mark.parametrize("guarded", [True, False])
def test_a_list_holds_for_both_listeners(guarded: bool) -> None:
    serves = served_hosts("Shop.example,10.0.0.7", "0.0.0.0", guarded=guarded)

    assert serves is not None
    assert [name for name in ("shop.example", "SHOP.EXAMPLE", "shop.example.", "10.0.0.7") if not serves(name)] == []
    assert [name for name in (*LOOPBACK, "evil.example", "x.shop.example", "") if serves(name)] == []


def test_what_is_bound_to_loopback_serves_loopbacks_names_beside_the_list() -> None:
    serves = served_hosts("shop.example", "127.0.0.1", guarded=False)

    assert serves is not None
    assert [name for name in (*LOOPBACK, "shop.example") if not serves(name)] == []
    assert [name for name in ELSEWHERE if serves(name)] == []
