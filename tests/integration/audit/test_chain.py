"""`saga audit verify` and `saga audit checkpoint`: what was altered behind the back of everything that forbids it is found."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.operations import verifying
from tests.acceptance.commands import assert_told, saga
from tests.integration.audit.plants import HELP, RECHAIN
from tests.integration.audit.shop import Shop, place_every_shape, scripted

REMOVED: LiteralString = """
delete from outbox where aggregateid = o('failed');
delete from ledger_journal where order_ledger_id = o('failed');
delete from order_ledger where order_ledger_id = o('failed');
"""
CUT_OFF: LiteralString = """
delete from ledger_journal where order_ledger_id = o('completed') and seq > (select max(seq) from ledger_journal
    where order_ledger_id = o('completed') and hash <> '' and seq < 12);
update order_ledger l set (last_seq, chain_head) = (select seq, hash from ledger_journal j
    where j.order_ledger_id = l.order_ledger_id order by seq desc limit 1) where order_ledger_id = o('completed');
"""
IN_PLACE: dict[str, tuple[LiteralString, str, int | None]] = {
    "an altered entry": (
        "update ledger_journal set error = 'x' where order_ledger_id = o('completed') and seq = 6",
        "completed",
        6,
    ),
    "an altered time of an entry that bears no hash itself": (
        "update ledger_journal set at = at - interval '1 us' where order_ledger_id = o('completed') and seq = 7",
        "completed",
        7,
    ),
    "an altered duration": (
        "update ledger_journal set duration_ms = 2 where order_ledger_id = o('completed') and seq = 6",
        "completed",
        6,
    ),
    "a removed entry, with those after it moved up": (
        """delete from ledger_journal where order_ledger_id = o('completed') and seq = 4;
        update ledger_journal set seq = seq + 1000 where order_ledger_id = o('completed') and seq > 4;
        update ledger_journal set seq = seq - 1001 where order_ledger_id = o('completed') and seq > 1000;
        update order_ledger set last_seq = last_seq - 1 where order_ledger_id = o('completed')""",
        "completed",
        4,
    ),
    "an inserted entry": (
        """update ledger_journal set seq = seq + 1000 where order_ledger_id = o('failed') and seq > 5;
        update ledger_journal set seq = seq - 999 where order_ledger_id = o('failed') and seq > 1000;
        insert into ledger_journal select order_ledger_id, 6, at, 'operator', null, null, round, null, 'retry', null, null,
            null, null, 'operator eve', lease_epoch, 'eve', 'why not', hash from ledger_journal
            where order_ledger_id = o('failed') and seq = 5;
        update order_ledger set last_seq = last_seq + 1 where order_ledger_id = o('failed')""",
        "failed",
        6,
    ),
    "rows swapped between orders": (
        """update ledger_journal set order_ledger_id = 'ffffffff-0000-8000-8000-000000000000'
            where order_ledger_id = o('completed') and seq = 3;
        update ledger_journal set order_ledger_id = o('completed') where order_ledger_id = o('failed') and seq = 3;
        update ledger_journal set order_ledger_id = o('failed')
            where order_ledger_id = 'ffffffff-0000-8000-8000-000000000000'""",
        "failed",
        None,
    ),
    "a head set back": (
        """update order_ledger set chain_head = (select hash from ledger_journal where order_ledger_id = o('completed')
            and hash <> '' order by seq limit 1) where order_ledger_id = o('completed')""",
        "completed",
        None,
    ),
    "an order removed whose journal still stands": (
        "delete from order_ledger where order_ledger_id = o('stuck')",
        "stuck",
        None,
    ),
}  # fmt: skip


class Ledger:
    """A ledger with orders of every shape that is about to be tampered with.

    Attributes:
        url: Its address.
        folder: Where commands run.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        with psycopg.connect(url) as conn:
            conn.execute(HELP)
            rows = conn.execute("select client_request_id, order_ledger_id from order_ledger").fetchall()
        self.orders: dict[str, UUID] = dict(rows)

    def plant(self, *texts: LiteralString) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute("set local session_replication_role = replica")
            for text in texts:
                conn.execute(text)

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return saga("audit", "--database-url", self.url, *map(str, arguments), cwd=self.folder)

    def verify(self, *arguments: str | Path) -> dict[str, Any]:
        done = self.run("verify", "--json", *arguments)
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["clean"] else 1), done.stderr
        return found

    def checkpoint(self, *arguments: str | Path) -> Path:
        made = self.folder / "heads.checkpoint"
        assert self.run("checkpoint", "--out", made, *arguments).returncode == 0
        return made


@pytest.fixture
def tampered(ledger_url: str, tmp_path: Path) -> Ledger:
    async def fill() -> None:
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
            shop = Shop(conn, scripted())
            await shop.open()
            await place_every_shape(shop)

    asyncio.run(fill())
    return Ledger(ledger_url, tmp_path)


def test_a_sound_ledger_verifies_whole_and_order_by_order(tampered: Ledger) -> None:
    found = tampered.verify()
    one = tampered.verify(str(tampered.orders["completed"]))

    assert (found["clean"], found["orders"], found["found"]) == (True, len(tampered.orders), 0)
    assert found["entries"] > 100
    assert (one["clean"], one["orders"]) == (True, 1)
    assert 5 < one["entries"] < 30


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_was_altered_is_named_with_its_order_and_its_entry(name: str, tampered: Ledger) -> None:
    plant, key, seq = IN_PLACE[name]
    order = str(tampered.orders[key])
    tampered.plant(plant)

    found = tampered.verify()

    assert not found["clean"]
    first = next(finding for finding in found["findings"] if finding["order_ledger_id"] == order)
    if seq is not None:
        # What was written at once has one hash: the finding begins with the first of it.
        assert first["seq"] is not None
        assert seq - 2 <= first["seq"] <= seq
    told = tampered.run("verify", order)
    assert told.returncode == 1
    assert f"ALTERED {order}, " in told.stdout


def test_a_chain_that_was_computed_anew_is_found_by_a_checkpoint_alone(tampered: Ledger) -> None:
    checkpoint = tampered.checkpoint()
    tampered.plant("update ledger_journal set error = 'x' where order_ledger_id = o('completed') and seq = 6", RECHAIN)

    assert tampered.verify()["clean"]
    found = tampered.verify("--against", checkpoint)
    assert str(tampered.orders["completed"]) in {finding["order_ledger_id"] for finding in found["findings"]}
    assert "has another hash" in found["findings"][0]["what"]


@pytest.mark.parametrize(
    ("plant", "key", "what"),
    [(CUT_OFF, "completed", " and ends at "), (REMOVED, "failed", "retention has left no trace")],
    ids=["the last rows cut off and the head set back", "a whole order removed"],
)
def test_what_leaves_a_sound_chain_behind_is_found_by_a_checkpoint(
    plant: LiteralString, key: str, what: str, tampered: Ledger
) -> None:
    checkpoint = tampered.checkpoint()
    tampered.plant(plant)

    assert tampered.verify()["clean"]
    (finding,) = tampered.verify("--against", checkpoint)["findings"]
    assert finding["order_ledger_id"] == str(tampered.orders[key])
    assert what in finding["what"]


def test_orders_that_were_purged_or_went_on_are_no_violation(tampered: Ledger) -> None:
    checkpoint = tampered.checkpoint()
    tampered.plant(
        "update order_ledger set created_at = created_at - interval '2 d', finished_at = finished_at - interval '2 d'"
        " where order_ledger_id = o('failed')"
    )
    with psycopg.connect(tampered.url) as conn:
        assert conn.execute("select purge_orders(interval '1 d', 10)").fetchone() == (1,)

    async def go_on() -> None:
        async with await psycopg.AsyncConnection.connect(tampered.url, autocommit=True) as conn:
            await conn.execute("update order_ledger set next_retry_at = null where order_ledger_id = o('waiting')")
            shop = Shop(conn, scripted())
            await shop.run()

    asyncio.run(go_on())

    found = tampered.verify("--against", checkpoint)
    assert (found["clean"], found["purged"]) == (True, 1)
    assert found["compared"]["purged"] == 1
    assert found["compared"]["grown"] >= 1
    assert found["compared"]["orders"] == len(tampered.orders)


def test_a_checkpoint_is_what_was_written_and_signed_or_is_refused(tampered: Ledger) -> None:
    key, other = tampered.folder / "key", tampered.folder / "other"
    key.write_text("k" * 32, encoding="ascii")
    other.write_text("o" * 32, encoding="ascii")
    unsigned = tampered.checkpoint().read_bytes()
    signed = tampered.checkpoint("--key-file", key)

    assert tampered.verify("--against", signed, "--key-file", key)["compared"]["signature_checked"]
    assert_told(tampered.run("verify", "--against", signed, "--key-file", other), 1, "was not signed with this key")
    lines = signed.read_bytes().splitlines(keepends=True)
    for content, told in (
        (unsigned, "was not signed with this key"),
        (b"".join(lines[:1] + lines[2:]), "was changed after it was written"),
        (b"".join(lines[:-1]), "ends before its end"),
        (b"".join([*lines, lines[1]]), "goes on after its end"),
        (b"".join([lines[0], b"no order\n", *lines[1:]]), "names no order"),
        (b'{"checkpoint": 2}\n', "no checkpoint that this release knows"),
    ):
        signed.write_bytes(content)
        assert_told(tampered.run("verify", "--against", signed, "--key-file", key), 1, told)
    key.write_text("short", encoding="ascii")
    assert_told(tampered.run("checkpoint", "--key-file", key), 1, "is no key")


def test_a_checkpoint_without_a_file_goes_to_stdout(tampered: Ledger) -> None:
    done = tampered.run("checkpoint")

    first, *orders, last = done.stdout.splitlines()
    assert json.loads(first)["checkpoint"] == 1
    assert [UUID(line.split()[0]) for line in orders] == sorted(tampered.orders.values())
    assert json.loads(last)["orders"] == len(tampered.orders)


def test_everything_is_read_page_by_page(
    tampered: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tampered.checkpoint()
    tampered.plant(*(IN_PLACE[name][0] for name in ("an altered entry", "an order removed whose journal still stands")))
    whole = tampered.verify("--against", checkpoint)
    for orders in (1, 3):
        monkeypatch.setattr(verifying, "PAGE_ORDERS", orders)
        assert verifying.show_verify(tampered.url, None, against=checkpoint, key_file=None, as_json=True) == 1
        assert json.loads(capsys.readouterr().out) == whole


def test_an_unknown_order_and_an_empty_ledger_are_no_clean_ones(ledger_url: str, tmp_path: Path) -> None:
    empty = Ledger.__new__(Ledger)
    empty.url, empty.folder = ledger_url, tmp_path
    order = str(uuid4())

    assert_told(empty.run("verify", order), 1, f"no order {order}")
    assert_told(empty.run("verify"), 1, "nothing to verify")
    assert_told(empty.run("verify", order, "--all"), 2, "name an order or ask for --all, not both")
    assert_told(empty.run("verify", "--key-file", __file__), 2, "give --against too")


def test_a_journal_of_before_verifies_and_goes_on_in_the_form_of_today(tampered: Ledger) -> None:
    tampered.plant(RECHAIN)  # one hash for each entry, over the text of its columns

    async def go_on() -> None:
        async with await psycopg.AsyncConnection.connect(tampered.url, autocommit=True) as conn:
            await conn.execute("update order_ledger set next_retry_at = null where order_ledger_id = o('waiting')")
            await Shop(conn, scripted()).run()

    asyncio.run(go_on())
    with psycopg.connect(tampered.url) as conn:
        query = "select bool_and(hash <> ''), bool_or(hash = '') from ledger_journal where order_ledger_id = o(%s)"
        assert conn.execute(query, ("completed",)).fetchone() == (True, False)
        assert conn.execute(query, ("waiting",)).fetchone() == (False, True)

    assert tampered.verify()["clean"]
    tampered.plant("update ledger_journal set error = 'x' where order_ledger_id = o('waiting') and seq = 2")
    (finding,) = tampered.verify()["findings"]
    assert (finding["order_ledger_id"], finding["seq"]) == (str(tampered.orders["waiting"]), 2)
