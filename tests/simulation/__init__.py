"""A seeded simulation of one order's whole world around the real core: every fault, at every moment, by the million.

::

    scheduler ──chooses──▶ world: replicas, edge, operator, client, network, clock
                             │ decide        │ write, claim     │ call
                             ▼               ▼                  ▼
                           core            ledger          participants
                     (the real one)     (its rules)        (their fence)
                             └──────── invariants after every step ───────┘

`core` runs the product's own code (`orchestrator.work`, `machine`, `progress`, `opening`); everything else here is a
model, without IO and without a clock of its own. A schedule is a list of small numbers, so a failing one can be
shortened and told as a story.
"""
