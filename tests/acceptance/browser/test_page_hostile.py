"""Hostile texts of clients, participants, receivers of events and operators: text on the page, and nothing else."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from tests.acceptance.browser.room import Room
from tests.acceptance.browser.scene import DEAD_S, Admin
from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import Shop, eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="session")]
MARKUP = "'\"><img src=x onerror=ran()><svg/onload=ran()>"
REVERSED = "\u202egnp.exe"
KEY = "key'><img/src=x/onerror=ran()>"
MADE = "main :is(img, script, iframe, [onerror], [onload], a[href^='javascript' i])"

MISSING = """(texts) => {
    const fields = [...document.querySelectorAll('main :is(input, textarea)')].map((field) => field.value);
    const seen = [document.querySelector('main').innerText, ...fields].join('\\n');
    return texts.filter((text) => !seen.includes(text));
}"""
"""Which of these texts a reader does not see on the page, be it in a field."""


def hostile(name: str) -> str:
    return f"{name}{MARKUP}"


BY = {"actor": hostile("actor"), "reason": hostile("reason")}
ORDER = {
    "customer_id": hostile("customer"),
    "items": [{"sku": hostile("sku"), "quantity": 1, "unit_price_minor": 255, "description": hostile("goods") + REVERSED}],
    "metadata": {hostile("label"): hostile("value")},
}


@asynccontextmanager
async def troublemaker(orders_url: str) -> AsyncIterator[str]:
    """Stand in for the orders service, which refuses to cancel in a hostile text, and receive events with one; the address."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

        async def answer(request: web.Request) -> web.Response:
            if request.path.startswith("/hook"):
                return web.Response(status=500, text=hostile("body"))
            if request.path.endswith("/cancel"):
                problem = {"type": hostile("type"), "title": hostile("title"), "detail": hostile("detail")}
                return web.json_response(problem, status=422, content_type="application/problem+json")
            url, headers = orders_url + request.path_qs, {**request.headers}
            async with session.request(request.method, url, data=await request.read(), headers=headers) as real:
                return web.Response(body=await real.read(), status=real.status, content_type=real.content_type)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")


async def run(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(stack.saga, *words, "--actor", "ann", "--reason", "a test")


async def test_hostile_texts_are_shown_as_they_are_and_nothing_becomes_of_them(room: Room, stack: Stack, shop: Shop) -> None:
    await room.watch()
    admin = Admin(shop)
    async with troublemaker(stack.participants["orders"]) as url:
        hook = {
            "name": "hostile",
            "url": f"{url}/hook?<img/src=x/onerror=ran()>",
            "types": ["OrderStuck"],
            "reason": BY["reason"],
        }
        await admin.post("/admin/webhooks", **hook)
        assert (await run(stack, "participants", "add", "orders", url)).returncode == 0
        try:
            await admin.post("/admin/breakers/shipping/hold", **BY)
            change = {"retry": {"attempts_max": 7}}
            await admin.call("PUT", "/admin/config/place_order", configuration=change, **BY)
            order = await shop.place(KEY, **ORDER)
            await is_stuck(shop, order)
            await admin.post(f"/admin/orders/{order}/retry", **BY)
            await is_stuck(shop, order)
            await look(room, "#/overview")
            await look(room, f"#/orders?status=STUCK&customer_id={hostile('filter')}", hostile("filter"))
            await look(room, "#/orders?status=STUCK", hostile("customer"))
            of_order = ("customer", "sku", "goods", "label", "value", "detail", "reason", "actor")
            await look(room, f"#/orders/{order}", KEY, REVERSED, *map(hostile, of_order))
            await look(room, "#/stuck", hostile("customer"))
            await look(room, "#/breakers", hostile("reason"), hostile("actor"))
            await look(room, "#/configuration/place_order", hostile("reason"), hostile("actor"))
            await look(room, "#/definitions")

            async def dead() -> None:
                assert (await admin.call("GET", "/admin/outbox/dead?webhook=hostile")).json["total"] > 0

            await eventually(dead, DEAD_S)
            await look(room, "#/dead", hostile("body"))
        finally:
            await run(stack, "participants", "remove", "orders", "--force")
            await admin.post("/admin/breakers/shipping/reset", **BY)
            await admin.call("DELETE", "/admin/config/place_order?actor=ann&reason=over")
            await admin.call("DELETE", "/admin/webhooks/hostile")

    async def mended() -> None:
        await admin.call("POST", f"/admin/orders/{order}/retry", actor="ann", reason="mended")
        assert (await shop.get(order))["status"] == "FAILED"

    await eventually(mended, 30.0)


async def test_hostile_addresses_are_taken_for_text(room: Room) -> None:
    await room.watch()
    for place in ("", "orders/", "definitions/", "configuration/", "orders?status="):
        for said in (MARKUP, "%", "/evil.example/", "..%2f..%2fadmin", "javascript:ran()"):
            await look(room, f"#/{place}{said}")
    await expect(room.page.locator("main h1")).to_have_text("Orders")
    room.forgive(r"\b40[04]\b|\b422\b")


async def is_stuck(shop: Shop, order: str) -> None:
    async def stuck() -> None:
        assert (await shop.get(order))["status"] == "STUCK"

    await eventually(stuck)


async def look(room: Room, address: str, *texts: str) -> None:
    """See that a view shows these texts as they are, and has made nothing of any."""
    await room.show(address)

    async def shown() -> None:
        assert await room.page.evaluate(MISSING, texts) == [], address

    await eventually(shown)
    assert await room.page.locator(MADE).count() == 0, address


async def test_the_browser_itself_makes_no_markup_of_a_text_and_the_page_no_address(room: Room) -> None:
    """Whatever a view forgets."""
    add = "document.body.insertAdjacentHTML('beforeend', text)"
    assert await room.page.evaluate(f"(text) => {{ try {{ {add}; }} catch {{ return 'refused'; }} }}", MARKUP) == "refused"
    made = "() => import('/dom.js').then(({ el }) => el('a', { href: 'javascript:ran()' })).then(() => 'made', () => 'refused')"
    assert await room.page.evaluate(made) == "refused"
    room.forgive("TrustedHTML")
