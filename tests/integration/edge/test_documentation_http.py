"""The page of the contract as an edge serves it: to anybody, and under a policy that lets nothing act but its style."""

import base64
import hashlib
import re

from tests.integration.edge.credentials import STATIC
from tests.integration.edge.service import StartEdge


async def test_it_is_served_to_anybody_under_a_policy_that_lets_its_style_alone_act(start_edge: StartEdge) -> None:
    edge = await start_edge(api_keys=f"ann={STATIC}")

    async with edge.session.get(f"{edge.url}/docs") as response:
        text = await response.text()

    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_it_says_whether_a_key_is_wanted_as_the_contract_does(start_edge: StartEdge) -> None:
    for settings, says in (
        ({}, "Needs no key."),
        ({"api_keys": f"ann={STATIC}"}, "Needs a key with the scope <code>orders</code>."),
    ):
        edge = await start_edge(**settings)
        async with edge.session.get(f"{edge.url}/docs") as response:
            article = (await response.text()).split('id="placeOrder"')[1].split("</article>")[0]
        assert says in article
