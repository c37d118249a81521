"""The collection of requests, sent in its order to a running stack: each is answered as it says."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.acceptance.stack import CLIENTS, Stack
from tests.acceptance.stack_shop import Shop
from tests.documents import ROOT
from tests.http_files import filled, read_requests

pytestmark = pytest.mark.acceptance


async def test_every_request_of_the_collection_is_answered_as_it_says(shop: Shop, stack: Stack) -> None:
    variables, requests = read_requests(ROOT / "docs/sagaledger.http")
    variables |= {
        "edge": stack.edge_urls[0],
        "admin": stack.admin_urls[0],
        "edge_ws": stack.edge_urls[0].replace("http", "ws"),
        "admin_ws": stack.admin_urls[0].replace("http", "ws"),
        "inventory": stack.participants["inventory"],
        "key": CLIENTS["shop"],
    }
    answers: dict[str, Any] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        for request in requests:
            await asyncio.sleep(request.delay_s)
            headers = {name: filled(value, variables, answers) for name, value in request.headers.items()}
            url = filled(request.url, variables, answers)
            if request.method == "WEBSOCKET":
                async with session.ws_connect(url, headers=headers) as socket:
                    assert (request.answers, socket.closed) == (101, False)
                    if "after" in url:
                        assert (await socket.receive_json())["order_ledger_id"] in url
                continue
            async with session.request(request.method, url, headers=headers, data=request.body or None) as answer:
                told = await answer.text()
                assert answer.status == request.answers, (request.title, told)
                if request.name:
                    answers[request.name] = json.loads(told)
    assert len(requests) > 50
