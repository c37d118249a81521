"""The orchestrator: definitions of sagas, the pure core that decides, and the loop that runs them.

::

    saga      what a saga is: typed steps, retry, snapshot        (pure)
    machine   what an observation changes, and what comes next    (pure)
    participant   one call over HTTP and what its answer means
    runner    one claimed saga: plan, write, call, decide, write, until it ends or must wait
    writer    group commit: the transitions of all sagas in one fenced statement
    worker    claims, leases, wake-ups, graceful stop
    listener  LISTEN on a session of its own

Imports inside run from right to left: saga ← machine ← runner ← worker.
"""
