"""People are told of orders that need them: once for each cause, together, by call and by mail, until somebody takes it."""

import ssl
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
import structlog
import trustme

from orchestrator.oncall import channels
from orchestrator.webhooks.subscribing import NameTaken, NoWebhook, remove, rotate, subscribe
from sql import oncall, webhooks
from sql.connect import Pool
from tests.acceptance.stack_shop import eventually
from tests.integration.ledger.outbox import Connection, place
from tests.integration.webhooks.receiver import SECRET, Receiver, hangs, says, sending
from tests.integration.webhooks.smtp import MailServer, open_mail_server
from tests.integration.webhooks.test_sending import rows, settled, signatures

REASON = "could not be undone: capture_payment"
AT_ONCE = {"oncall_window_s": 0.0}


def url(receiver: Receiver) -> dict[str, Any]:
    return {"oncall_url": f"{receiver.url}/people"}


async def need_somebody(conn: Connection, order: UUID, reason: str = REASON, *, type: str = "OrderStuck", seq: int = 1) -> None:
    """Have an order be stuck, as its last transition would: its row and its event."""
    status = "STUCK" if type == "OrderStuck" else "COMPENSATING"
    await conn.execute(
        "update order_ledger set status = %s, step = 'capture_payment', last_error = %s where order_ledger_id = %s",
        (status, reason, order),
    )
    data = {"version": 1, "order_ledger_id": str(order), "saga": "errand", "status": status, "customer_id": "c"}
    data |= {"currency": "EUR", "total_minor": 1250}
    await conn.execute(
        "insert into outbox (aggregateid, type, payload, correlation_id, seq) values (%s, %s, %s, 'c', %s)",
        (order, type, orjson.dumps(data).decode(), seq),
    )


async def ready(conn: Connection) -> None:
    """Wait until somebody has seen to it that people are told from now on."""

    async def look() -> None:
        row = await (await conn.execute("select count(*) from event_subscription where channel is not null")).fetchone()
        assert row == (1,)

    await eventually(look)


async def waiting(pool: Pool, number: int) -> None:
    """Wait until so many are to be told of; nobody has begun with any of them."""

    async def look() -> None:
        assert len([row for row in await rows(pool) if row["delivered_at"] is None]) == number

    await eventually(look)
    assert [row["attempts"] for row in await rows(pool) if row["delivered_at"] is None] == [0] * number


def told(receiver: Receiver) -> list[Any]:
    return [message.event for message in receiver.of("/people")]


def ids(message: Any) -> set[str]:
    return {order["order_ledger_id"] for order in message["orders"]}


def taken(receiver: Receiver, number: int) -> Callable[[], None]:
    def look() -> None:
        assert len(receiver.of("/people")) >= number

    return look


async def test_an_order_that_is_stuck_is_told_of_once_with_what_and_why_and_again_when_it_is_stuck_again(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    options = {**url(receiver), **AT_ONCE, "oncall_secret": SECRET, "admin_url": "https://ops.example"}
    async with sending(pool, ledger_url, **options) as sender:
        await ready(conn)
        await need_somebody(conn, order)
        sender.wake()
        await eventually(settled(pool, delivered=True))
        assert await oncall.find_notified(conn, order) is not None
        await need_somebody(conn, order, "the carrier is gone", seq=9)
        await eventually(taken(receiver, 2))
        await eventually(settled(pool, delivered=True))

    first, second = told(receiver)
    assert first["type"] == "orders.need_somebody"
    (said,) = first["orders"]
    assert (said["order_ledger_id"], said["status"], said["step"]) == (str(order), "STUCK", "capture_payment")
    assert (said["reason"], said["total_minor"], said["currency"]) == (REASON, 1250, "EUR")
    assert said["link"] == f"https://ops.example/#/orders/{order}"
    assert "1 order needs somebody, 1 STUCK" in first["text"]
    assert "12.50 EUR" in first["text"]
    assert REASON in first["text"]
    assert [order["seq"] for order in second["orders"]] == [9]
    one, other = receiver.of("/people")
    assert one.headers["webhook-id"] != other.headers["webhook-id"]
    assert set(one.headers["webhook-signature"].split(" ")) == signatures(one, SECRET)


async def test_a_compensation_that_failed_is_told_of_at_once_and_not_again_when_the_order_is_stuck_over_it(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order, other = await place(conn), await place(conn)
    async with sending(pool, ledger_url, **url(receiver), **AT_ONCE):
        await ready(conn)
        await need_somebody(conn, order, type="CompensationFailed")
        # What comes of one transition is one matter.
        await conn.execute("begin")
        await need_somebody(conn, other, type="CompensationFailed", seq=3)
        await need_somebody(conn, other, seq=3)
        await conn.execute("commit")
        await eventually(lambda: told_of(receiver, order, other))
        await eventually(settled(pool, delivered=True))
        await need_somebody(conn, order, seq=5)
        await eventually(all_known(pool, 4))
        messages = len(told(receiver))
        # An operator had it go on, and it is stuck over the same step: that is another cause.
        await conn.execute(
            "insert into ledger_journal (order_ledger_id, seq, at, kind, outcome, actor, reason, replica, lease_epoch, hash)"
            " values (%s, 6, clock_timestamp(), 'operator', 'retry', 'ann', 'mended', 'cli', 1, '')",
            (order,),
        )
        await need_somebody(conn, order, seq=7)
        await eventually(all_known(pool, 5))

    of = [said for message in told(receiver) for said in message["orders"]]
    assert [(said["event"], said["seq"]) for said in of if said["order_ledger_id"] == str(order)] == [
        ("CompensationFailed", 1),
        ("OrderStuck", 7),
    ]
    assert [said["status"] for said in of if said["order_ledger_id"] == str(other)] == ["STUCK"]
    assert len(told(receiver)) == messages + 1


def told_of(receiver: Receiver, *orders: UUID) -> None:
    assert {str(order) for order in orders} <= {id_ for message in told(receiver) for id_ in ids(message)}


def all_known(pool: Pool, number: int) -> Callable[[], Any]:
    """Look until so many deliveries are settled, told or not."""

    async def look() -> None:
        assert [bool(row["delivered_at"]) for row in await rows(pool)] == [True] * number

    return look


async def test_what_happens_after_a_message_comes_together_in_the_next_and_what_is_alike_is_said_once(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    orders = [await place(conn) for _ in range(9)]
    async with sending(pool, ledger_url, **url(receiver), oncall_window_s=3600.0) as sender:
        await ready(conn)
        await need_somebody(conn, orders[0])
        sender.wake()
        await eventually(taken(receiver, 1))
        for order in orders[1:8]:
            await need_somebody(conn, order, f"{REASON} of {order}")
        await waiting(pool, 7)
        await need_somebody(conn, orders[8], "the code failed on it")
        await waiting(pool, 8)
        assert len(receiver.of("/people")) == 1
        await conn.execute("update event_subscription set held_until = clock_timestamp()")  # the time is over
        sender.wake()
        await eventually(taken(receiver, 2))
        await eventually(settled(pool, delivered=True))

    _, second = told(receiver)
    assert ids(second) == {str(order) for order in orders[1:]}
    assert "8 orders need somebody, 8 STUCK" in second["text"]
    assert "7 orders of errand, STUCK at capture_payment, worth 87.50 EUR" in second["text"]
    assert "and 2 more" in second["text"]
    assert second["text"].count(REASON) == 1


async def test_what_nobody_takes_is_tried_again_under_one_id_and_is_a_dead_letter_at_last(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    receiver.answers["/people"] = [says(500, "not today")]
    async with sending(pool, ledger_url, **url(receiver), **AT_ONCE):
        await ready(conn)
        await need_somebody(conn, order)
        await eventually(settled(pool, delivered=False))
        assert await oncall.find_notified(conn, order) is None
        (dead,) = await webhooks.list_dead(conn, limit=10)
        assert (dead["webhook"], dead["attempts"]) == ("oncall-webhook", 3)
        assert "answered 500" in dead["error"]
        receiver.answers.clear()
        assert await webhooks.replay_dead(conn, None, webhook=None, limit=10)
        await eventually(settled(pool, delivered=True))

    assert len({message.headers["webhook-id"] for message in receiver.of("/people")}) == 1
    assert len(receiver.of("/people")) == 4


async def test_a_replica_that_dies_before_it_knows_leaves_the_message_to_another(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    receiver.answers["/people"] = [hangs, says(204)]
    async with sending(pool, ledger_url, **url(receiver), **AT_ONCE):
        await ready(conn)
        await need_somebody(conn, order)
        await eventually(taken(receiver, 1))
    async with sending(pool, ledger_url, **url(receiver), **AT_ONCE):
        await eventually(settled(pool, delivered=True))

    assert [ids(message) for message in told(receiver)] == [{str(order)}] * 2
    assert len({message.headers["webhook-id"] for message in receiver.of("/people")}) == 1


async def test_of_two_replicas_one_tells_and_one_without_a_channel_leaves_it_alone(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    orders = [await place(conn) for _ in range(5)]
    async with (
        sending(pool, ledger_url, **url(receiver), **AT_ONCE),
        sending(pool, ledger_url, **url(receiver), **AT_ONCE),
        sending(pool, ledger_url),
    ):
        await ready(conn)
        for order in orders:
            await need_somebody(conn, order)
        await eventually(settled(pool, delivered=True))

        async def none_is_left_out() -> None:
            assert len(await rows(pool)) == 5

        await eventually(none_is_left_out)

    counted = [id_ for message in told(receiver) for id_ in sorted(ids(message))]
    assert sorted(counted) == sorted(str(order) for order in orders)


async def test_a_mail_is_encrypted_logged_in_and_has_everything_in_it(
    conn: Connection, pool: Pool, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, order = trustme.CA(), await place(conn)
    proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(proof)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    monkeypatch.setattr(channels.ssl, "create_default_context", lambda: trusted)
    login = {"smtp_user": "saga", "smtp_password": "secret"}
    async with (
        open_mail_server(tls=proof, login="saga:secret") as server,
        sending(pool, ledger_url, **mailing(server), **login, **AT_ONCE),
    ):
        await ready(conn)
        await need_somebody(conn, order, "refused: Bcc: eve@evil.example")
        await eventually(settled(pool, delivered=True))

    ((receivers, mail),) = server.mails
    assert receivers == ["ann@shop.example", "bob@shop.example"]
    assert server.encrypted == [True]
    assert (mail["To"], mail["From"]) == ("ann@shop.example, bob@shop.example", "saga@shop.example")
    assert mail["Subject"] == "Sagaledger: 1 order needs somebody, 1 STUCK"
    assert mail["Bcc"] is None
    assert str(order) in mail.get_content()
    assert "saga ledger retry" in mail.get_content()


@pytest.mark.parametrize(
    ("server", "options", "said"),
    [
        ({"refusal": "554 no mail for you"}, {"smtp_security": "none"}, "SMTPDataError: 554"),
        ({}, {"smtp_security": "starttls"}, "STARTTLS"),
    ],
    ids=["refused", "no STARTTLS offered"],
)
async def test_a_mail_that_is_not_taken_says_why(
    conn: Connection, pool: Pool, ledger_url: str, server: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    order = await place(conn)
    async with open_mail_server(**server) as mails, sending(pool, ledger_url, **{**mailing(mails), **options}, **AT_ONCE):
        await ready(conn)
        await need_somebody(conn, order)
        await eventually(settled(pool, delivered=False))

    (row,) = await rows(pool)
    assert said in row["error"]
    assert mails.mails == []


async def test_who_is_not_known_there_keeps_nobody_else_from_being_told_and_is_not_named(
    conn: Connection, pool: Pool, ledger_url: str
) -> None:
    order = await place(conn)
    async with open_mail_server(unknown="ann@shop.example") as server:
        options = {**mailing(server), "smtp_security": "none", **AT_ONCE}
        with structlog.testing.capture_logs() as lines:
            async with sending(pool, ledger_url, **options):
                await ready(conn)
                await need_somebody(conn, order)
                await eventually(settled(pool, delivered=True))
            async with sending(pool, ledger_url, **{**options, "oncall_mail_to": "ann@shop.example"}):
                await need_somebody(conn, order, "again", seq=9)

                async def is_dead() -> None:
                    assert [row["error"] for row in await rows(pool) if row["dead_at"]] == ["SMTPRecipientsRefused: 550"]

                await eventually(is_dead)

    ((receivers, _),) = server.mails
    assert receivers == ["bob@shop.example"]
    assert [(line["event"], line["receivers"]) for line in lines if line["event"] == "people_not_reached"] == [
        ("people_not_reached", 1)
    ]
    assert "ann" not in str(lines)


async def test_a_channel_has_no_secret_to_rotate_and_comes_back_when_it_is_removed_though_it_is_set(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    async with sending(pool, ledger_url, **url(receiver), **AT_ONCE) as sender:
        await ready(conn)
        with pytest.raises(NoWebhook, match="SAGA_ONCALL_SECRET"):
            await rotate(conn, "oncall-webhook", grace_s=0.0, actor="ann", reason="no reason")
        await remove(conn, "oncall-webhook", actor="ann", reason="no reason")
        sender.wake()
        await ready(conn)


async def test_no_webhook_takes_the_name_of_a_channel(conn: Connection) -> None:
    with pytest.raises(NameTaken, match="kept for telling people"):
        await subscribe(
            conn, "oncall-mail", "https://h.example/", [], from_start=False, client_id=None, actor="ann", reason="no reason"
        )

    assert await webhooks.list_subscriptions(conn) == []


async def test_when_people_were_told_is_kept_though_other_deliveries_are_not(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    async with sending(pool, ledger_url, **url(receiver), **AT_ONCE):
        await ready(conn)
        await need_somebody(conn, order)
        await eventually(settled(pool, delivered=True))

    assert await webhooks.delete_delivered(conn, older_than_days=0.0, limit=10) == 0
    assert await oncall.find_notified(conn, order) is not None


def mailing(server: MailServer) -> dict[str, Any]:
    return {
        "oncall_mail_to": "ann@shop.example,bob@shop.example",
        "oncall_mail_from": "saga@shop.example",
        "smtp_host": "localhost",
        "smtp_port": server.port,
    }
