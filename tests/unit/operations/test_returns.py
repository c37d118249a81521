"""Which order a cancellation belongs to."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.operations.invoices import Invoice, OrderItem, Returned, Reversal
from orchestrator.operations.returns import (
    NO_CUSTOMER,
    NOT_BOUGHT,
    NOT_SO_MANY,
    PART,
    Cancellation,
    explain,
    match_returns,
)


def order(number: str, customer_id: str = "ann", **pieces: int) -> Invoice:
    items = tuple(OrderItem(sku, sku, quantity, 100) for sku, quantity in pieces.items())
    return Invoice(number, customer_id, "2010-12-01", "France", items, len(items))


def back(number: str, customer_id: str | None = "ann", **pieces: int) -> Reversal:
    return Reversal(number, customer_id, tuple(Returned(sku, quantity) for sku, quantity in pieces.items()))


def refusals(cancellation: Cancellation) -> list[str]:
    return [line.refusal for line in cancellation.lines]


def test_an_order_that_is_taken_back_whole_is_cancelled() -> None:
    (found,) = match_returns([order("1", tea=2, cup=1), back("C2", cup=1, tea=2)])

    assert found.cancels == ("1",)
    assert [(line.refusal, line.detail, line.invoice) for line in found.lines] == [
        ("", "1 x cup of line 2 of invoice 1", "1"),
        ("", "2 x tea of line 1 of invoice 1", "1"),
    ]


def test_a_part_of_an_order_is_found_and_not_cancelled() -> None:
    (found,) = match_returns([order("1", tea=2, cup=1), back("C2", tea=1)])

    assert (found.cancels, refusals(found)) == ((), [PART])
    assert found.lines[0].detail == "1 x tea of line 1 of invoice 1; 2 of its 3 pieces stay bought"


def test_cancellations_that_take_an_order_back_together_cancel_it_with_the_last() -> None:
    first, last = match_returns([order("1", tea=2, cup=1), back("C2", tea=2), back("C3", cup=1)])

    assert (first.cancels, last.cancels) == ((), ("1",))
    assert refusals(first) + refusals(last) == ["", ""]
    assert (first.lines[0].invoice, last.lines[0].invoice) == ("1", "1")


def test_the_order_that_is_taken_back_whole_goes_before_a_newer_one_with_enough() -> None:
    (found,) = match_returns([order("1", tea=2), order("2", tea=5), back("C3", tea=2)])

    assert found.cancels == ("1",)


def test_of_several_the_newest_order_with_enough_left_is_meant() -> None:
    (found,) = match_returns([order("1", tea=9), order("2", tea=9), order("3", tea=1), back("C4", tea=2)])

    assert "of invoice 2;" in found.lines[0].detail


def test_one_cancellation_may_take_back_two_orders() -> None:
    (found,) = match_returns([order("1", tea=2), order("2", cup=1), back("C3", tea=2, cup=1)])

    assert found.cancels == ("1", "2")
    assert refusals(found) == ["", ""]


def test_what_was_taken_back_is_not_taken_back_again() -> None:
    _, again = match_returns([order("1", tea=2), back("C2", tea=2), back("C3", tea=2)])

    assert (again.cancels, refusals(again)) == ((), [NOT_SO_MANY])
    assert again.lines[0].detail == "2 x tea, of which line 1 of invoice 1 has 0 left"


def test_pieces_of_several_orders_are_not_added_up() -> None:
    (found,) = match_returns([order("1", tea=2), order("2", tea=3), back("C3", tea=5)])

    assert refusals(found) == [NOT_SO_MANY]
    assert found.lines[0].detail == "5 x tea, of which line 1 of invoice 2 has 3 left"


def test_an_order_of_somebody_else_or_of_later_is_not_meant() -> None:
    early, other, nobody = match_returns(
        [back("C1", tea=2), order("2", tea=2), back("C3", "bob", tea=2), back("C4", None, tea=2)]
    )

    assert refusals(early) == refusals(other) == [NOT_BOUGHT]
    assert refusals(nobody) == [NO_CUSTOMER]


def test_what_could_not_have_been_ordered_does_not_stand_against_the_rest() -> None:
    reversal = Reversal("C2", "ann", (Returned("POST", 0, "cancellation: no product: postage"), Returned("tea", 2)))

    (found,) = match_returns([order("1", tea=2), reversal])

    assert (found.cancels, refusals(found)) == (("1",), ["cancellation: no product: postage", ""])


def test_a_cancellation_says_for_each_reason_what_was_found() -> None:
    (found,) = match_returns([order("1", tea=2, cup=2), back("C2", tea=1, cup=1, pot=1)])

    assert list(explain(found)) == [
        (
            "C2",
            2,
            PART.removeprefix("cancellation: "),
            "1 x tea of line 1 of invoice 1; 2 of its 4 pieces stay bought, and 1 more",
        ),
        ("C2", 1, NOT_BOUGHT.removeprefix("cancellation: "), "1 x pot"),
    ]


PIECES = st.dictionaries(st.sampled_from(["tea", "cup", "pot"]), st.integers(1, 3), min_size=1)
CUSTOMERS = st.sampled_from(["ann", "bob"])


@given(st.lists(st.tuples(st.booleans(), CUSTOMERS, PIECES), max_size=30))
def test_nothing_comes_back_that_was_not_bought_and_only_whole_orders_are_cancelled(
    shopping: list[tuple[bool, str, dict[str, int]]],
) -> None:
    written = [
        order(str(number), customer_id, **pieces) if bought else back(f"C{number}", customer_id, **pieces)
        for number, (bought, customer_id, pieces) in enumerate(shopping)
    ]
    orders = {one.number: one for one in written if isinstance(one, Invoice)}
    reversals = {one.number: one for one in written if isinstance(one, Reversal)}

    found = match_returns(written)

    assert [one.number for one in found] == list(reversals)
    cancelled = [number for one in found for number in one.cancels]
    assert len(cancelled) == len(set(cancelled))
    returned: dict[str, Counter[str]] = {number: Counter() for number in cancelled}
    for one in found:
        for line, verdict in zip(reversals[one.number].lines, one.lines, strict=True):
            if not verdict.refusal:
                returned[verdict.invoice][line.sku] += line.quantity
                assert orders[verdict.invoice].customer_id == reversals[one.number].customer_id
    assert returned == {number: Counter({item.sku: item.quantity for item in orders[number].items}) for number in cancelled}
