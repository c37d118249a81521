"""A file of invoices as orders: what each kind of line becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.operations.invoices import GUEST
from orchestrator.operations.replay import Fate, Replay, read_replay
from orchestrator.operations.replaying import take_account
from orchestrator.operations.shop import Placed

Line = dict[str, str]


def line(**changes: str) -> Line:
    return {
        "InvoiceNo": "536365",
        "StockCode": "85123A",
        "Description": "WHITE HANGING HEART T-LIGHT HOLDER ",
        "Quantity": "6",
        "InvoiceDate": "2010-12-01 08:26:00",
        "UnitPrice": "2.55",
        "CustomerID": "17850.0",
        "Country": "United Kingdom",
    } | changes


def test_an_invoice_becomes_an_order_with_prices_in_pence() -> None:
    (invoice,) = read_replay([line()]).invoices

    assert invoice.body == {
        "customer_id": "17850",
        "currency": "GBP",
        "items": [
            {"sku": "85123A", "quantity": 6, "unit_price_minor": 255, "description": "WHITE HANGING HEART T-LIGHT HOLDER"}
        ],
        "payment_method": "pm_card",
        "metadata": {"invoice": "536365", "invoice_date": "2010-12-01 08:26:00", "country": "United Kingdom"},
    }


def test_a_line_without_a_customer_is_a_guests() -> None:
    assert read_replay([line(CustomerID="")]).invoices[0].customer_id == GUEST


@pytest.mark.parametrize(("price", "minor"), [("0.29", 29), ("1.15", 115), ("4.35", 435), ("2.1", 210), ("13541.33", 1354133)])
def test_prices_are_exact_where_floats_are_not(price: str, minor: int) -> None:
    assert read_replay([line(UnitPrice=price)]).invoices[0].items[0].unit_price_minor == minor


def test_the_same_product_at_the_same_price_is_merged() -> None:
    (invoice,) = read_replay([line(), line(Quantity="4"), line(StockCode="71053")]).invoices

    assert [(item.sku, item.quantity) for item in invoice.items] == [("85123A", 10), ("71053", 6)]
    assert (invoice.lines, invoice.merged) == (3, 1)


def test_the_same_product_at_another_price_stays_a_line_of_its_own() -> None:
    (invoice,) = read_replay([line(), line(UnitPrice="2.10")]).invoices

    assert [(item.sku, item.unit_price_minor) for item in invoice.items] == [("85123A", 255), ("85123A", 210)]
    assert invoice.merged == 0


def test_lower_and_upper_case_of_a_code_are_one_product() -> None:
    replay = read_replay([line(StockCode="85123a"), line(InvoiceNo="536366")])

    assert replay.stock == {"85123A": ("WHITE HANGING HEART T-LIGHT HOLDER", 12)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"StockCode": "POST"}, "no product: postage or carriage"),
        ({"StockCode": "DOT"}, "no product: postage or carriage"),
        ({"StockCode": "C2"}, "no product: postage or carriage"),
        ({"StockCode": "D"}, "no product: discount"),
        ({"StockCode": "M"}, "no product: manual entry"),
        ({"StockCode": "m"}, "no product: manual entry"),
        ({"StockCode": "S"}, "no product: samples"),
        ({"StockCode": "BANK CHARGES"}, "no product: bank or marketplace fee"),
        ({"StockCode": "AMAZONFEE"}, "no product: bank or marketplace fee"),
        ({"StockCode": "gift_0001_40"}, "no product: gift voucher"),
        ({"StockCode": "WHATEVER"}, "no product: code of no known kind"),
        ({"Quantity": "-10", "UnitPrice": "0.0", "Description": ""}, "stock correction: quantity not above zero"),
        ({"Quantity": "0"}, "stock correction: quantity not above zero"),
        ({"UnitPrice": "0.0"}, "price not above zero"),
        ({"UnitPrice": "-1.0"}, "price not above zero"),
        ({"Description": " ", "UnitPrice": "0.0"}, "no description"),
        ({"Quantity": "six"}, "quantity is no whole number"),
        ({"Quantity": "1.5"}, "quantity is no whole number"),
        ({"UnitPrice": "cheap"}, "price is no number"),
        ({"UnitPrice": "NaN"}, "price is no whole number of pence"),
        ({"UnitPrice": "Infinity"}, "price is no whole number of pence"),
        ({"UnitPrice": "0.001"}, "price is no whole number of pence"),
        ({"Quantity": "1000001"}, "quantity above 1,000,000"),
        ({"UnitPrice": "10000000.01"}, "price above the limit"),
    ],
)
def test_what_is_no_purchase_is_refused_for_a_stated_reason(changes: Line, reason: str) -> None:
    replay = read_replay([line(**changes)])

    assert (replay.refused, replay.invoices, replay.invoices_refused) == ({reason: 1}, (), 1)


@pytest.mark.parametrize("code", ["DCGS0003", "DCGSSBOY", "PADS", "22423", "15056bl"])
def test_goods_outside_the_numbering_are_products(code: str) -> None:
    assert read_replay([line(StockCode=code)]).invoices[0].items[0].sku == code.upper()


def test_a_line_that_is_refused_leaves_the_rest_of_its_invoice() -> None:
    replay = read_replay([line(), line(StockCode="POST")])

    assert [invoice.lines for invoice in replay.invoices] == [1]
    assert (sum(replay.refused.values()), replay.invoices_refused) == (1, 0)


def test_a_merged_quantity_stays_within_the_limit() -> None:
    replay = read_replay([line(Quantity="1000000"), line()])

    assert replay.invoices[0].items[0].quantity == 1_000_000
    assert replay.refused == {"quantity above 1,000,000": 1}


def test_an_invoice_of_too_many_products_is_refused_whole() -> None:
    replay = read_replay(line(StockCode=f"{number:05}") for number in range(2001))

    assert (replay.refused, replay.invoices) == ({"invoice of more than 2,000 products": 2001}, ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"StockCode": "D"}, "cancellation: no product: discount"),
        ({"Quantity": "6"}, "cancellation: quantity not below zero"),
        ({"Quantity": "six"}, "cancellation: quantity is no whole number"),
        ({"CustomerID": ""}, "cancellation: without a customer there is no purchase to look for"),
    ],
)
def test_a_line_of_a_cancellation_that_takes_nothing_back_is_refused_for_a_stated_reason(changes: Line, reason: str) -> None:
    replay = read_replay([line(), line(**{"InvoiceNo": "C536379", "Quantity": "-6", **changes})])

    (cancellation,) = replay.cancellations
    assert (cancellation.number, cancellation.cancels) == ("C536379", ())
    assert [verdict.refusal for verdict in cancellation.lines] == [reason]
    assert (len(replay.invoices), replay.refused, replay.invoices_refused) == (1, {}, 0)


def test_a_cancellation_belongs_to_the_order_that_it_takes_back() -> None:
    replay = read_replay([line(), line(InvoiceNo="C536379", Quantity="-2"), line(InvoiceNo="c536379", Quantity="-4")])

    assert [cancellation.cancels for cancellation in replay.cancellations] == [(), ("536365",)]


def test_no_lines_are_no_orders() -> None:
    assert read_replay([]) == Replay(0, (), {}, (), 0)


@given(
    st.lists(
        st.builds(
            line,
            InvoiceNo=st.sampled_from(["1", "2", "C3"]),
            StockCode=st.sampled_from(["85123A", "85123a", "22423", "POST", "?"]),
            Quantity=st.sampled_from(["1", "-1", "-2", "", "999999"]),
            UnitPrice=st.sampled_from(["1.0", "2.55", "0", "x"]),
            Description=st.sampled_from(["A", ""]),
        ),
        max_size=40,
    ),
    st.sampled_from(["COMPLETED", "FAILED", "REFUSED"]),
)
def test_every_line_is_accounted_for_once(lines: list[Line], status: str) -> None:
    replay = read_replay(iter(lines))
    ends = [(invoice, Placed("id", status, {}, 0)) for invoice in replay.invoices]
    wrong = "" if status == "COMPLETED" else "its order had not completed"

    account = take_account(replay, ends, {invoice: wrong for one in replay.cancellations for invoice in one.cancels})

    assert sum(account.by_fate.values()) == len(lines)
    assert account.complete == (status == "COMPLETED" or not replay.invoices)


def test_the_lines_of_an_order_that_failed_are_not_placed() -> None:
    replay = read_replay([line(), line(), line(InvoiceNo="C1", Quantity="-12")])

    account = take_account(replay, [(replay.invoices[0], Placed("id", "FAILED", {}, 2))], {"536365": "it had not completed"})

    assert account.by_fate == {
        (Fate.UNDONE, "the order ended FAILED"): 2,
        (Fate.UNDONE, "cancellation: it had not completed"): 1,
    }
    assert (account.complete, account.orders, account.repeats) == (False, {"FAILED": 1}, 2)


def test_an_order_that_was_cancelled_was_placed_and_taken_back() -> None:
    replay = read_replay([line(), line(), line(InvoiceNo="C1", Quantity="-12")])

    account = take_account(replay, [(replay.invoices[0], Placed("id", "COMPLETED", {}, 0))], {"536365": ""})

    assert account.by_fate == {
        (Fate.PLACED, ""): 1,
        (Fate.MERGED, "same product and price twice in one invoice"): 1,
        (Fate.CANCELLED, "takes back an order that was cancelled for it"): 1,
    }
    assert (account.complete, account.orders) == (True, {"CANCELLED": 1})


def test_a_cancellation_that_nobody_asked_for_leaves_the_account_incomplete() -> None:
    replay = read_replay([line(), line(InvoiceNo="C1", Quantity="-6")])

    assert not take_account(replay, [(replay.invoices[0], Placed("id", "COMPLETED", {}, 0))], {}).complete


def test_a_missing_order_leaves_the_account_incomplete() -> None:
    replay = read_replay([line(), line(InvoiceNo="2")])

    assert not take_account(replay, [(replay.invoices[0], Placed("id", "COMPLETED", {}, 0))], {}).complete
