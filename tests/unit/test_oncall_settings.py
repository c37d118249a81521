"""What can be set of telling people: what can't work is refused at the start, with a sentence that names it."""

import pytest

from orchestrator.settings import SettingsError, load_settings

MAIL = {"oncall_mail_to": "ann@shop.example", "smtp_host": "mail.shop.example"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"oncall_mail_to": "ann@shop.example"}, "SAGA_ONCALL_MAIL_TO"),
        ({**MAIL, "oncall_mail_to": "ann@shop.example,\nBcc: eve@evil.example"}, "SAGA_ONCALL_MAIL_TO"),
        ({**MAIL, "oncall_mail_to": "ann"}, "SAGA_ONCALL_MAIL_TO"),
        ({**MAIL, "oncall_mail_from": "Ann <ann@shop.example>"}, "SAGA_ONCALL_MAIL_FROM"),
        ({**MAIL, "smtp_user": "saga"}, "SAGA_SMTP_USER"),
        ({**MAIL, "smtp_user": "saga", "smtp_password": "x", "smtp_security": "none"}, "SAGA_SMTP_SECURITY"),
        ({**MAIL, "smtp_security": "ssl"}, "SAGA_SMTP_SECURITY"),
        ({"oncall_url": "ftp://pager.example/"}, "SAGA_ONCALL_URL"),
        ({"oncall_url": "http://169.254.169.254/"}, "SAGA_ONCALL_URL"),
        ({"oncall_secret": "hunter2"}, "SAGA_ONCALL_SECRET"),
        ({"oncall_window_s": -1.0}, "SAGA_ONCALL_WINDOW_S"),
    ],
)
def test_what_can_not_work_stops_the_start(given: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings(**given)

    assert "hunter2" not in str(refused.value)


def test_what_can_work_is_taken() -> None:
    settings = load_settings(
        **MAIL,
        smtp_user="saga",
        smtp_password="x",
        smtp_security="tls",
        oncall_url="https://pager.example",
        oncall_secret=SECRET,
    )

    assert settings.oncall_url is not None
    assert settings.oncall_url.get_secret_value() == "https://pager.example/"
    assert "pager" not in repr(settings)  # such an address is a secret itself, as those of chat services are
