"""Which addresses may be called, however they are written."""

import inspect

import pytest

from orchestrator.addresses import Reach, http_url
from orchestrator.prepared import Prepared
from orchestrator.saga import Saga
from orchestrator.settings import Environment, Settings, SettingsError, load_settings
from participants.contracts import Endpoint

METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fd00:ec2::254",
    "fd00:ec2::254%1",
    "fd00:ec2::254%251",
    "64:ff9b:1::a9fe:a9fe",
    "fd20:ce::254",
    "100.100.100.200",
    "::ffff:100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
]
LINK_LOCAL = [*METADATA, "169.254.0.1", "fe80::1", "fe80::1%1"]
NOBODY = ["0.0.0.0", "0", "::", "224.0.0.1", "240.0.0.1", "255.255.255.255", "ff02::1", "::ffff:0.0.0.0"]
PRIVATE = [
    "127.0.0.1",
    "2130706433",
    "127.1",
    "::1",
    "::ffff:127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "fec0::1",
    "64:ff9b::a00:1",
    "203.0.113.5",
]
PUBLIC = ["8.8.8.8", "2606:4700::1111", "shop.example", "localhost.example"]


@pytest.mark.parametrize("host", LINK_LOCAL)
def test_a_link_local_address_is_called_only_where_that_is_allowed(host: str) -> None:
    assert "link-local" in str(Reach().refusal(host))
    assert "link-local" in str(Reach(private=False).refusal(host))
    assert Reach(link_local=True).refusal(host) is None
    assert Reach(link_local=True, private=False).refusal(host) is None


@pytest.mark.parametrize("host", NOBODY)
def test_an_address_of_nobody_or_of_everybody_is_never_called(host: str) -> None:
    assert Reach(link_local=True).refusal(host) is not None


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_is_a_participants_but_no_webhooks_outside_dev(host: str) -> None:
    assert Reach().refusal(host) is None
    assert "private" in str(Reach(private=False).refusal(host))


@pytest.mark.parametrize("host", PUBLIC)
def test_whatever_else_may_be_called(host: str) -> None:
    assert Reach(private=False).refusal(host) is None


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://shop.example",
        "http://user@shop.example",
        "http://user:secret@shop.example",
        "http://:@shop.example",
        "http://@shop.example",
        "http://shop.example/?a=1",
        "http://shop.example/#a",
        "http://shop.example:0",
        "http://shop .example",
        "http://shop.example\r\nX: 1",
        *(f"http://[{host}]/" if ":" in host else f"http://{host}/" for host in METADATA),
    ],
)
def test_what_is_no_participants_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        http_url(url)


@pytest.mark.parametrize(
    ("environment", "private", "may_be"),
    [("dev", None, True), ("preview", None, False), ("prod", None, False), ("prod", True, True), ("dev", False, False)],
)
def test_webhooks_may_be_in_the_own_network_in_dev_alone_unless_it_is_said(
    environment: str, private: bool | None, may_be: bool
) -> None:
    settings = Settings(environment=Environment(environment), webhook_private=private)

    assert settings.webhook_reach.private is may_be
    assert settings.participant_reach.private


def test_a_setting_names_a_forbidden_address_only_where_it_is_allowed() -> None:
    url = "http://169.254.169.254/bank"

    with pytest.raises(SettingsError, match=r"^SAGA_PAYMENTS_URL: must not be called: it is link-local"):
        load_settings(payments_url=url)

    assert load_settings(payments_url=url, allow_link_local=True).participants["payments"] == url


def test_no_data_of_an_order_is_an_address() -> None:
    """A call is made out as a participant's name and a path; the address is the operators', by that name."""
    assert {"participant", "path"} <= inspect.signature(Endpoint).parameters.keys()
    for of in (Endpoint, Prepared, Saga):
        assert not {name for name in inspect.signature(of).parameters if "url" in name or "address" in name or "host" in name}
