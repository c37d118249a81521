"""Secrets and personal data with marks are planted in a stack, every kind of flow is run, and everything it shows is searched.

A third mark stands where data are shown on purpose: it must be found in every kind of output, or the search would see nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.canaries import (
    ADDRESS,
    PAYMENT_METHOD,
    PERSON,
    SECRET,
    logs_in,
    showing,
    tables_of,
    watch_database,
    watch_folder,
    without_what_it_must_hold,
)
from tests.acceptance.commands import Up, call, clean_environment, pids_of, run, saga, wait_for

pytestmark = pytest.mark.acceptance
LEAK = "qx7leak"
PARTICIPANTS = ("orders", "inventory", "payments", "shipping", "notifications")
KEY, TOKEN = f"key-{SECRET}", f"token-{SECRET}"
CLIENT, ADMIN = {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Bearer {TOKEN}"}
SECRETS = {name: f"{SECRET}-{name}" for name in (*PARTICIPANTS, "hotel", LEAK)}
SETTINGS = {
    "SAGA_ENVIRONMENT": "preview",
    "SAGA_API_KEYS": f"shop={KEY}",
    "SAGA_ADMIN_TOKEN": TOKEN,
    "SAGA_PARTICIPANT_SECRETS": ",".join(f"{name}={secret}" for name, secret in SECRETS.items()),
    **{f"SAGA_{name.upper()}_SECRET": SECRETS[name] for name in PARTICIPANTS},
    "SAGA_WEBHOOK_PRIVATE": "1",
    "SAGA_FAULTS": "1",
    "SAGA_LOG_LEVEL": "info",
    "SAGA_DEFINITIONS": "team",
    "SAGA_RETRY_FIRST_S": "0.02",
    "SAGA_RETRY_FACTOR": "1",
    "SAGA_RETRY_ATTEMPTS": "2",
    "SAGA_BREAKER_WINDOW": "1000",
}
TEAM = """
from typing import Annotated
from orchestrator.saga import Saga, Signal, Step
from participants.contracts import PERSONAL, Answer, Endpoint, Wire

class Trip(Wire):
    customer_id: str
    guest: Annotated[str, PERSONAL]

class Passport(Wire):
    valid: bool
    number: Annotated[str, PERSONAL]

class RoomRef(Wire):
    room_id: str

class Room(RoomRef):
    guest: Annotated[str, PERSONAL]
    number: Annotated[str, PERSONAL]

class Booked(Answer):
    room_id: str
    guest: Annotated[str, PERSONAL] = ""

book = Step(
    name="book",
    request=lambda ctx: Room(room_id=ctx.id_of(book), guest=ctx.input.guest, number=ctx.results["passport"]["number"]),
    action=Endpoint("hotel", "POST", "/rooms", Room, Booked),
    compensation=Endpoint("hotel", "DELETE", "/rooms/{room_id}", RoomRef, Booked),
)
BOOK_TRIP = Saga(name="book_trip", version=1, input=Trip, steps=(Signal("passport", payload=Passport), book), says="Books.")
"""


class Elsewhere(ThreadingHTTPServer):
    """Somebody else's server: keeps what it is sent, and repeats it in its answer, whatever that is."""

    status = 200
    bodies: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Echo(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        shown = {name: value for name, value in self.headers.items() if name != "Authorization"}
        self.server.bodies.append(json.dumps(shown) + body)
        document = json.loads(body or "{}")
        answer = json.dumps({**document, "erased": 0, "detail": f"no: {body}", "echo": [document]}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_DELETE = do_POST

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere(("127.0.0.1", 0), Echo) as server:
        server.bodies = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Installation:
    """A stack with canaries in it, and everything that it shows.

    Attributes:
        shown: What it has answered so far, by kind of output.
    """

    def __init__(self, folder: Path, up: Up, settings: dict[str, str]) -> None:
        self.addresses = up.ready()
        self._settings = settings
        self.shown: dict[str, str] = {"answers": "", "problems": "", "cli": "", "errors of commands": ""}
        self.up = up
        self._folder = folder
        self._number = 0

    def ask(self, url: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
        """Call a URL, and note what it shows."""
        self._number += 1
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Idempotency-Key": f"k{self._number}", **headers}
        request = urllib.request.Request(url, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        if not url.endswith("/metrics"):
            self.shown["problems" if status >= 400 else "answers"] += text
        return status, json.loads(text) if text.startswith("{") else text

    def client(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self.ask(self.addresses["edge_url"] + path, body, **{**CLIENT, **headers})

    def tell(self, participant: str, path: str, body: Any) -> None:
        url = self.addresses["participants"][participant]["url"]
        self._number += 1
        data, headers = json.dumps(body).encode(), {"Authorization": f"Bearer {SECRETS[participant]}"}
        headers |= {"Content-Type": "application/json", "Idempotency-Key": f"tell-{self._number}"}
        urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=20).close()

    def order(self, ends: str, saga: str = "place_order", headers: dict[str, str] | None = None, **changes: Any) -> str:
        items = [{"sku": "tea", "quantity": 1, "unit_price_minor": 255}]
        body = {"customer_id": "17850", "currency": "GBP", "items": items, "payment_method": PAYMENT_METHOD, "saga": saga}
        _, answer = self.client("/orders", {**body, "shipping_address": ADDRESS, **changes}, **(headers or {}))
        return self.ended(answer["order_ledger_id"], ends)

    def ended(self, order: str, *ends: str) -> str:
        seen: list[Any] = []

        def look() -> bool:
            seen.append(self.client(f"/orders/{order}")[1])
            return seen[-1].get("status") in ends

        try:
            wait_for(look, timeout_s=30.0)
        except AssertionError:
            raise AssertionError(f"{ends} not seen: {seen[-1]}") from None
        return order

    def saga(self, *arguments: str, code: int | None = 0, **settings: str) -> str:
        done = saga(*arguments, cwd=self._folder, **{**self._settings, **settings})
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        self.shown["cli" if done.returncode == 0 else "errors of commands"] += done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def installation(tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Installation]:
    (tmp_path / "team.py").write_text(TEAM)
    addresses = {name: new_database(name) for name in ("ledger", *PARTICIPANTS)}
    settings = SETTINGS | {f"SAGA_{name.upper()}_DATABASE_URL": addresses[name] for name in PARTICIPANTS}
    settings |= {"SAGA_DATABASE_URL": addresses["ledger"]}
    up = Up(tmp_path, "--port", "0", "--admin-port", "0", "--replicas", "1", **settings)
    try:
        yield Installation(tmp_path, up, settings)
    finally:
        up.stop()


def run_every_kind_of_flow(installation: Installation, hotel: Elsewhere, receiver: Elsewhere) -> None:
    installation.saga("participants", "add", "hotel", hotel.url)
    installation.saga("participants", "add", LEAK, hotel.url)  # what is shown on purpose, wherever participants are named
    installation.saga("webhooks", "add", "receiver", receiver.url)
    installation.tell("inventory", "/inventory/products", {"sku": "tea", "name": "tea", "initial_stock": 1000})
    for customer in ("17850", LEAK):
        installation.tell("orders", "/customers", {"customer_id": customer, "name": f"{PERSON} of the shop"})
    done = installation.order("COMPLETED")
    installation.order("DECLINED", payment_method="pm_declined")
    installation.order("FAILED", items=[{"sku": "tea", "quantity": 999_999, "unit_price_minor": 1}])
    installation.order("COMPLETED", "deliver_order")
    installation.order("COMPLETED", "checkout_tcc")
    for participant, mode, path in (
        ("inventory", "error_after", "/inventory/reservations"),
        ("payments", "garbage", "/payments/capture"),
        ("orders", "drop_after", "/orders"),
    ):
        installation.tell(participant, "/test/fail-next", {"mode": mode, "path": path, "count": 1})
        installation.order("COMPLETED")
    leave_one_stuck_and_mend_it(installation)
    unpaid = installation.order("COMPLETED", "place_unpaid_order")
    _, payment = installation.client(f"/orders/{unpaid}/pay", {"payment_method": PAYMENT_METHOD})
    installation.ended(payment["order_ledger_id"], "COMPLETED")
    installation.client(f"/orders/{done}/cancel", {"reason": f"shown on purpose: {LEAK}"})
    installation.ended(done, "CANCELLED")
    for status, ends in ((200, "COMPLETED"), (422, "FAILED"), (500, "FAILED")):
        hotel.status = status
        _, trip = installation.client("/sagas/book_trip", {"customer_id": "17850", "guest": PERSON})
        passport = {"valid": True, "number": f"{PERSON}-123"}
        installation.client(f"/orders/{trip['order_ledger_id']}/signals/passport", passport)
        hotel.status = 200 if status == 500 else status
        installation.ended(trip["order_ledger_id"], ends, "COMPLETED", "STUCK")
    headers = {"X-Correlation-ID": LEAK, "Idempotency-Key": f"key-{LEAK}"}
    installation.order("COMPLETED", headers=headers, customer_id=LEAK, metadata={"note": LEAK})
    wait_for(lambda: any(LEAK in body for body in receiver.bodies))


def leave_one_stuck_and_mend_it(installation: Installation) -> None:
    for path in ("/confirm", "/cancel"):
        installation.tell("orders", "/test/fail-next", {"mode": "reject", "path": path, "count": 1})
    stuck = installation.order("STUCK")
    installation.tell("orders", "/test/reset", {})
    installation.saga("ledger", "retry", stuck, "--reason", "mended")
    installation.ended(stuck, "FAILED")


def ask_for_what_is_refused(installation: Installation) -> None:
    edge = installation.addresses["edge_url"]
    installation.ask(f"{edge}/orders", {"customer_id": 1}, Authorization=f"Bearer {KEY}x")
    installation.client("/orders", {"customer_id": "17850", "payment_method": PAYMENT_METHOD * 20, "shipping_address": ADDRESS})
    installation.client("/orders", {"shipping_address": {**ADDRESS, "lines": [PERSON] * 9}, LEAK: 1})
    installation.client(f"/orders/{LEAK}")
    installation.client(f"/sagas/{LEAK}", {})
    installation.ask(f"{installation.addresses['admin_url']}/statistics", Authorization="Bearer nobody")


def look_at_everything(installation: Installation, order: str) -> dict[str, str]:
    """Return every output, by its kind."""
    shown, addresses = installation.shown, installation.addresses
    for path in (f"/orders/{order}", f"/orders/{order}/journal", "/orders?limit=200", "/events?limit=1000", "/sagas",
                 "/openapi.json", "/readyz"):  # fmt: skip
        installation.client(path)
    admin = addresses["admin_url"]
    pages = ("/", "/statistics", "/health/participants", "/admin/config/place_order", "/admin/breakers", "/admin/webhooks")
    shown["dashboard"] = "".join(str(installation.ask(admin + path, **ADMIN)) for path in pages)
    metrics = [f"{admin}/metrics", *(f"{part['url']}/metrics" for part in addresses["participants"].values())]
    environment = Path(f"/proc/{addresses['pids']['orchestrators'][0]}/environ").read_text().split("\0")
    port = next(line.partition("=")[2] for line in environment if line.startswith("SAGA_METRICS_PORT="))
    shown["metrics"] = "".join(str(installation.ask(url, **ADMIN)) for url in (*metrics, f"http://127.0.0.1:{port}/metrics"))
    for arguments in (
        ("ledger", "list", "--limit", "1000"), ("ledger", "show", order), ("ledger", "show", order, "--json"), ("stats",),
        ("events", "tail", "--from", "0", "--once"), ("webhooks", "list"), ("outbox", "dead"), ("breaker", "list"),
        ("participants", "list"), ("config", "show", "place_order"), ("config", "env"), ("definitions", "list"),
        ("definitions", "show", "book_trip"), ("keys", "list"), ("audit", "--json"), ("audit", "replay", "--all"), ("health",),
        ("audit", "verify"), ("purge", "--dry-run"), ("migrate", "status"), ("acts",),
    ):  # fmt: skip
        installation.saga(*arguments, code=None)
    with subprocess.Popen([sys.executable, "-c", "input()", LEAK], stdin=subprocess.PIPE) as told:
        pids = (*pids_of(addresses), installation.up.process.pid, told.pid)
        # One that has only just begun has no command line for a moment.
        lines = [wait_for(lambda: Path(f"/proc/{pid}/cmdline").read_text() or None) for pid in pids]  # noqa: B023
        shown["command lines"] = "\n".join(lines)
        told.communicate(b"\n")
    return shown | {f"table {name}": rows for name, rows in tables_of(addresses["database_url"]).items()}


def fail_to_start(installation: Installation) -> None:
    """Have commands and processes tell of settings that can't be used, each with a secret in it."""
    away = {"SAGA_DATABASE_URL": f"postgresql://ann:{SECRET}@127.0.0.1:1/nothing"}
    no_addresses = (f"postgresql://ann:{SECRET}@127.0.0.1:port/nothing", f"host=127.0.0.1 password {SECRET}")
    no_secrets, no_lease = {"SAGA_PARTICIPANT_SECRETS": SECRET}, {"SAGA_LEASE_S": LEAK}
    cases: list[tuple[tuple[str, ...], dict[str, str]]] = [
        *((("edge",), wrong) for wrong in (away, no_secrets, no_lease, {"SAGA_API_KEYS": f"shop={SECRET} {SECRET}"})),
        *((("orchestrator",), wrong) for wrong in (away, no_secrets)),
        *((("ledger", "list"), {"SAGA_DATABASE_URL": address}) for address in no_addresses),
        (("ledger", LEAK), {}),
        (("participant", "orders"), {"SAGA_ORDERS_SECRET": f"{SECRET} {SECRET}"}),
        (("participant", "orders"), {"SAGA_ORDERS_DATABASE_URL": no_addresses[0]}),
    ]
    for command, wrong in cases:
        ports = {"SAGA_PORT": "0", "SAGA_ADMIN_PORT": "0", "SAGA_PARTICIPANT_PORT": "0"}
        assert installation.saga(*command, code=None, **{**ports, **wrong}) == ""


@pytest.mark.timeout(900)  # dozens of commands, each a process
def test_no_secret_and_nothing_of_a_person_is_shown_anywhere(installation: Installation) -> None:
    with elsewhere() as hotel, elsewhere() as receiver:
        run_every_kind_of_flow(installation, hotel, receiver)
        ask_for_what_is_refused(installation)
        fail_to_start(installation)
        order = installation.client(f"/orders?customer_id={LEAK}")[1]["orders"][0]["order_ledger_id"]
        shown = look_at_everything(installation, order)
        installation.saga("erase-customer", "17850", "--reason", "asked", "--json")
        installation.saga("erase-customer", LEAK, "--reason", f"asked by {LEAK}")
        installation.saga("audit", "--json")
        assert installation.up.stop() == 0
    assert PERSON in str(hotel.bodies), "the team's participant is told what it needs"
    shown |= {"webhooks": "\n".join(receiver.bodies)}
    shown |= {"logs": "\n".join(logs_in(installation.up.data).values()) + installation.up.errors}

    assert showing(shown, SECRET, PERSON) == {}
    seen = {kind for kind, text in shown.items() if LEAK in text.lower()}
    assert {kind for kind in shown if not kind.startswith("table ")} - seen == set()
    tables = {"order_ledger", "ledger_journal", "outbox", "participant", "operator_act"}
    assert {f"table {name}" for name in tables} <= seen
    with psycopg.connect(installation.addresses["database_url"]) as conn:
        assert conn.execute("select count(*) from order_personal").fetchone() == (0,)
    says_what_it_is_about(logs_in(installation.up.data))


def says_what_it_is_about(logs: dict[str, str]) -> None:
    """See that every line about an order says so in the same words, whoever wrote it."""
    lines = [json.loads(line) for text in logs.values() for line in text.splitlines() if line.startswith("{")]
    about = [line for line in lines if "order_ledger_id" in line]
    assert {"order_claimed", "order_left", "order_answered", "request"} <= {line["event"] for line in about}
    for line in about:
        assert {"correlation_id", "replica"} <= line.keys(), line
        assert "step" in line or line["event"] not in ("order_left", "request"), line


def test_what_must_not_be_seen_is_found_whoever_shows_it(new_database: Callable[[str], str]) -> None:
    """What all that is started by acceptance tests is searched by: logs, tables, answers, what commands print."""
    token = f"planted-{os.getpid()}"
    environment = clean_environment(SAGA_ADMIN_TOKEN=token)
    ledger = new_database("ledger")
    with tempfile.TemporaryDirectory() as name, elsewhere() as server, psycopg.connect(ledger, autocommit=True) as conn:
        folder = Path(name)
        (folder / "deep").mkdir()
        (folder / "edge.log").write_text("well\n")
        watch_folder(folder)
        (folder / "deep/orders.log").write_text(f'{{"event": "told", "error": "no {PERSON.upper()}"}}\n')
        watch_database(ledger)
        conn.execute("insert into event_subscription (name, url, secret) values ('own', %s, 'whsec')", (token,))
        assert call(f"{server.url}/customers/1", {"name": PERSON})[0] == 200, "who is there to know of a person may tell"

        shows: list[Callable[[], Any]] = [
            lambda: watch_folder(folder),
            lambda: watch_database(ledger),
            lambda: run(
                [sys.executable, "-c", "import os; print(os.environ['SAGA_ADMIN_TOKEN'])"], cwd=folder, env=environment
            ),
            lambda: run([sys.executable, "-c", f"raise SystemExit('no {PERSON}')"], cwd=folder, env=environment),
            lambda: call(f"{server.url}/orders", {"name": PERSON}),
            lambda: call(f"{server.url}/customers/1", {"name": token}),
        ]
        for show in shows:
            with pytest.raises(AssertionError, match=r"(?i)planted-|qx7person"):
                show()
        conn.execute("delete from event_subscription")
    stack = {"edge_url": "e", "database_url": token, "participants": {"orders": {"url": "u", "secret": token}}}
    assert token not in without_what_it_must_hold(stack)
    assert token in without_what_it_must_hold({**stack, "edge_url": token})
