"""Webhooks: every event that a subscription asked for is sent to its URL, signed, at least once, by whichever replica is there.

::

    outbox ──fan out──▶ event_delivery ──claim──▶ signing ▶ transport ──▶ receiver
              (position      │   ▲                                │
               moves on)     │   └────── settling: a wait ◀───────┤ anything but 2xx
                             ▼                                    ▼
                     dead letter (saga outbox replay)         delivered

    settings.py     what can be set
    signing.py      the Standard Webhooks headers, and secrets
    settling.py     what an attempt came to; pure
    sending.py      the loop of a replica
    subscribing.py  what operators do: add, rotate, disable, remove

No connection is held during a call, and no call is made within a transaction. One receiver has a share of a replica's calls
and no more, so that one that is slow or away holds up nobody else. Deliveries of one subscription may overtake each other;
`seq` tells the order of one order's events.
"""
