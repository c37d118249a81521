"""People are told of orders that need them: STUCK ones, and those of which something could not be undone.

::

    outbox ──fan out──▶ event_delivery ──claim all that is due──▶ message ──▶ channel: a webhook, a mail
                                                          settle ◀── sent, or why not

    settings.py   what can be set
    message.py    what is said; pure
    channels.py   how it is sent

Each channel is a subscription of its own to two types of events (`orchestrator/webhooks/`), which are told at least once each
and not again: an order that an operator retried and that is stuck again has an event of its own. What happens while a
message is on its way, and for some time after it, goes into the next one.
"""

from typing import Final

ONCALL: Final = "oncall-"
"""How the names of these subscriptions begin, and no webhook's."""
