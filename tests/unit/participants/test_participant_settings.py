"""Settings of a participant: where its database is, and what a wrong value says."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from participants.errors import SettingError
from participants.settings import NAMES, ParticipantSettings, load_settings, participant_database_url


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    for field in ParticipantSettings.model_fields:
        for name in (f"SAGA_{field.upper()}", field.upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        ("postgresql://u:p%40ss@db:5433/saga", "postgresql://u:p%40ss@db:5433/saga_orders"),
        ("postgresql://db/saga?sslmode=require", "postgresql://db/saga_orders?sslmode=require"),
        ("postgresql://postgres@/saga?host=/tmp/x", "postgresql://postgres@/saga_orders?host=/tmp/x"),
        ("postgresql://a:1,b:2/saga", "postgresql:///saga_orders?host=a,b&port=1,2"),
        ("postgresql://[::1]:5432/saga", "postgresql://[::1]:5432/saga_orders"),
        ("host=db dbname=saga user=u", "postgresql://u@db/saga_orders"),
        ("postgresql://u@db", "postgresql://u@db/u_orders"),
    ],
)
def test_a_participants_database_is_beside_the_ledger(ledger: str, expected: str) -> None:
    url = participant_database_url(ledger, "orders")

    assert url == expected
    given, made = conninfo_to_dict(ledger), conninfo_to_dict(url)
    assert {**given, "dbname": made["dbname"]} == made


def test_a_database_of_its_own_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_DATABASE_URL", "postgresql://db/saga")
    monkeypatch.setenv("SAGA_INVENTORY_DATABASE_URL", "postgresql://other/stock")
    settings = load_settings()

    assert settings.database_url_of("inventory") == "postgresql://other/stock"
    assert settings.database_url_of("payments") == "postgresql://db/saga_payments"


def test_without_a_database_the_sentence_names_the_setting() -> None:
    with pytest.raises(SettingError, match=r"^No database for orders: set SAGA_ORDERS_DATABASE_URL or SAGA_DATABASE_URL\.$"):
        load_settings().database_url_of("orders")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGA_PARTICIPANT_PORT", "65536"),
        ("SAGA_FAULTS", "perhaps"),
        ("SAGA_LOG_LEVEL", "loud"),
        ("MOCK_LATENCY_MS", "-1"),
        ("MOCK_FAILURE_RATE", "1.1"),
    ],
)
def test_a_wrong_value_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingError) as caught:
        load_settings()

    assert str(caught.value).startswith(f"{name} is wrong: ")
    assert value not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_ORDERS_DATABASE_URL", "postgresql://u:canary@db/saga")

    assert "canary" not in repr(load_settings())


def test_ports_follow_the_contract() -> None:
    assert [load_settings().port_of(name) for name in NAMES] == [8101, 8102, 8103, 8104, 8105]
    assert load_settings(participant_port=0).port_of("orders") == 0


def test_every_setting_is_described() -> None:
    assert [name for name, field in ParticipantSettings.model_fields.items() if not field.description] == []
