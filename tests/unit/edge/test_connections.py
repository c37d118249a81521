"""Counting connections, and what stands for one peer."""

import pytest

from edge_api.connections import Connections, address_of


def test_there_is_room_for_so_many_and_again_when_one_leaves() -> None:
    connections = Connections(most=3, most_of_one=2)

    assert [connections.enter(peer) for peer in "aabb"] == [True, True, True, False]
    connections.leave("a")
    assert connections.enter("b")
    assert len(connections) == 3


def test_one_address_takes_no_more_than_its_share() -> None:
    connections = Connections(most=10, most_of_one=2)

    assert [connections.enter("a") for _ in range(4)] == [True, True, False, False]
    assert connections.enter("b")
    connections.leave("a")
    assert connections.enter("a")


def test_no_address_is_remembered_that_has_no_connection() -> None:
    connections = Connections(most=10_000, most_of_one=1)
    for number in range(10_000):
        connections.enter(f"{number}")
        connections.leave(f"{number}")

    assert len(connections) == 0
    assert not connections._by_address


@pytest.mark.parametrize(
    ("peername", "address"),
    [
        (("203.0.113.9", 40_000), "203.0.113.9"),
        (("::ffff:203.0.113.9", 40_000, 0, 0), "203.0.113.9"),
        (("2001:db8:1:2:3:4:5:6", 40_000, 0, 0), "2001:db8:1:2::"),
        (("2001:db8:1:2::1", 40_000, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 40_000, 0, 2), "fe80::"),
        (("::1", 40_000, 0, 0), "::"),
        (None, ""),
        ("", ""),
    ],
)
def test_a_network_that_one_host_has_counts_as_one(peername: object, address: str) -> None:
    assert address_of(peername) == address
