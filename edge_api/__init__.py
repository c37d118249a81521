"""The edge: the HTTP API that clients and operators use.

::

    middlewares   correlation, problems, metrics, who is asking
    placing       POST /orders: key, body, ledger row, authorization, answer
    reading       GET /orders …, journal
    operating     health, statistics, metrics: the admin listener
    openapi       the contract, generated from routes and models

Two listeners in one process: one for clients, one for operators. The edge imports the orchestrator's definitions, core
and HTTP caller, never its worker or listener.
"""
