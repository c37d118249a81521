"""Money as people read it; everywhere else it is integer minor units."""

from typing import Final

_TWO_DIGITS: Final = frozenset({"AUD", "CAD", "CHF", "CNY", "DKK", "EUR", "GBP", "INR", "NOK", "NZD", "PLN", "SEK", "USD"})


def money(amount_minor: int, currency: str) -> str:
    """Return an amount for people; currencies without minor units, or with three digits of them, stay in minor units."""
    if currency in _TWO_DIGITS:
        return f"{amount_minor // 100}.{amount_minor % 100:02} {currency}"
    return f"{amount_minor} {currency} (minor units)"
