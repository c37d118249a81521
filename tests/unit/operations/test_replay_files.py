"""A file that can't be replayed is told in one sentence, before anything is started."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.operations.replay import COLUMNS
from orchestrator.operations.replaying import ReplayError, read_file
from orchestrator.operations.returns import NO_CUSTOMER, NOT_BOUGHT, NOT_SO_MANY, PART

HEADER = ",".join(COLUMNS)
LINE = "536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
REAL_DATA = Path(os.environ.get("SAGA_TEST_REAL_ORDERS", Path(__file__).resolve().parents[4] / "shared/data/online-retail"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_plain_or_packed(tmp_path: Path, packed: bool) -> None:
    data = f"\ufeff{HEADER}\r\n{LINE}\r\n".encode()
    file = tmp_path / "orders.csv"
    file.write_bytes(gzip.compress(data) if packed else data)

    replay = read_file(file)

    assert (replay.lines, len(replay.invoices)) == (1, 1)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"sku,quantity\na,1\n", "has no column InvoiceNo: the columns have to be InvoiceNo, StockCode, "),
        (b"", "has no column InvoiceNo"),
        (HEADER.replace("UnitPrice", "Price").encode(), "has no column UnitPrice"),
        (f"{HEADER}\n{LINE}\n1,2,3\n".encode(), "line 3 has not as many columns as the first"),
        (f"{HEADER}\n{LINE},more\n".encode(), "line 2 has not as many columns as the first"),
        (gzip.compress(HEADER.encode(), mtime=0)[:-4], "can't be read: Compressed file ended"),
        (b"\x1f\x8bno gzip at all", "can't be read: Unknown compression method"),
        (gzip.compress(b"x" * 100, mtime=0)[:12] + b"\xff\xff\xff\xff\xff\xff", "can't be read: "),
        (b"\xff\xfe\x00", "neither UTF-8 text nor gzip"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path: Path, data: bytes, sentence: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(data)

    with pytest.raises(ReplayError) as told:
        read_file(file)

    assert str(file) in str(told.value)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"none\.csv can't be read: No such file or directory"):
        read_file(tmp_path / "none.csv")


def test_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="can't be read: Is a directory"):
        read_file(tmp_path)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real orders are not here; SAGA_TEST_REAL_ORDERS names their folder")
@pytest.mark.parametrize(
    ("name", "lines", "orders", "merged", "returned", "refused"),
    [("2010-12-01.csv.gz", 3_108, 127, 92, 26, 18), ("2010-12.csv.gz", 42_481, 1_550, 845, 728, 438)],
)
def test_every_line_of_the_real_orders_is_accounted_for(
    name: str, lines: int, orders: int, merged: int, returned: int, refused: int
) -> None:
    replay = read_file(REAL_DATA / name)

    placed = sum(len(invoice.items) for invoice in replay.invoices)
    assert (replay.lines, len(replay.invoices)) == (lines, orders)
    assert sum(len(cancellation.lines) for cancellation in replay.cancellations) == returned
    assert (sum(invoice.merged for invoice in replay.invoices), sum(replay.refused.values())) == (merged, refused)
    assert placed + merged + returned + refused == lines
    assert all(count == 1 for count in Counter(invoice.number for invoice in replay.invoices).values())


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real orders are not here; SAGA_TEST_REAL_ORDERS names their folder")
def test_the_real_cancellations_find_their_orders_or_say_why_not() -> None:
    replay = read_file(REAL_DATA / "2010-12.csv.gz")

    cancelled = {cancellation.number: cancellation.cancels for cancellation in replay.cancellations if cancellation.cancels}
    assert cancelled == {
        "C537402": ("537217",),
        "C537413": ("537410",),
        "C538341": ("538313",),
        "C538536": ("538534",),
        "C539329": ("539109",),
        "C539576": ("539320",),
    }
    lines = [line for cancellation in replay.cancellations for line in cancellation.lines]
    assert Counter(line.refusal for line in lines) == {
        "": 65,
        NOT_BOUGHT: 371,
        PART: 233,
        NO_CUSTOMER: 23,
        NOT_SO_MANY: 6,
        "cancellation: no product: discount": 8,
        "cancellation: no product: bank or marketplace fee": 8,
        "cancellation: no product: manual entry": 7,
        "cancellation: no product: postage or carriage": 5,
        "cancellation: no product: samples": 2,
    }
    assert all(line.detail for line in lines)
