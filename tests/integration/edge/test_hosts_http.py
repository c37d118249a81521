"""The Host of a request against what a listener serves, and pages of other origins, which get no leave to read anything."""

import pytest

from tests.integration.edge.service import Edge, StartEdge


async def asked(edge: Edge, url: str, host: str) -> bytes:
    return await edge.raw(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), url)


def is_misdirected(answer: bytes) -> bool:
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 421 "))
    assert answer.startswith(b"HTTP/1.1 421 ") == (b"problems/misdirected-request" in answer)
    return answer.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("host", ["localhost", "localhost:8090", "127.0.0.1:8090", "[::1]:8090", "LocalHost."])
async def test_the_admin_listener_on_loopback_is_asked_by_loopbacks_names(start_edge: StartEdge, host: str) -> None:
    edge = await start_edge()

    assert not is_misdirected(await asked(edge, edge.admin_url, host))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "localhost.evil.example", "169.254.169.254"])
async def test_a_name_that_was_made_to_mean_loopback_gets_nothing_of_the_admin_listener(
    start_edge: StartEdge, host: str
) -> None:
    edge = await start_edge()

    assert is_misdirected(await asked(edge, edge.admin_url, host))
    assert not is_misdirected(await asked(edge, edge.url, host))


async def test_where_hosts_are_listed_no_other_is_served(start_edge: StartEdge) -> None:
    edge = await start_edge(allowed_hosts="shop.example,10.0.0.7")

    for url in (edge.url, edge.admin_url):
        for host in ("shop.example", "shop.example:443", "SHOP.example", "10.0.0.7", "localhost"):
            assert not is_misdirected(await asked(edge, url, host))
        for host in ("evil.example", "shop.example.evil", "10.0.0.8"):
            assert is_misdirected(await asked(edge, url, host))


async def test_the_host_of_a_whole_address_counts_beside_the_header(start_edge: StartEdge) -> None:
    edge = await start_edge(allowed_hosts="shop.example")
    request = b"GET http://evil.example/healthz HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"

    assert is_misdirected(await edge.raw(request))
    assert not is_misdirected(await edge.raw(request.replace(b"evil", b"shop")))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8080"])
async def test_no_page_of_another_origin_is_let_read_anything(start_edge: StartEdge, origin: str) -> None:
    edge = await start_edge()
    for url in (edge.url, edge.admin_url):
        for method, path in (
            ("OPTIONS", "/orders"),
            ("GET", "/healthz"),
            ("GET", "/orders"),
            ("OPTIONS", "/admin/config/place_order"),
        ):
            headers = {
                "Origin": origin,
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "authorization",
            }
            async with edge.session.request(method, url + path, headers=headers) as response:
                assert [name for name in response.headers if name.lower().startswith("access-control")] == []
                if method == "OPTIONS":
                    assert response.status in (404, 405)
