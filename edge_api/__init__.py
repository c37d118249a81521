"""The edge: the HTTP API that clients and operators use.

::

    every request  middlewares (ids, who is asking, problems)  requests (body, preference, path)  idempotency (its key)
                   schemas pointers  problems (errors as answers)  answers acceptance  limits rates keys
                   rows (whose a handler sees)
                   heads (what comes first)  admission (how many)
    clients        placing (what can be started)  starting (one order, one answer)  paying  signalling  cancelling
                   reading  feed  stream following changes handshakes (live)
                   contract parameters openapi (made from routes and models)
                   documentation/ (the same as a page)
    operators      monitoring measuring (health, statistics, metrics)  configuring  webhooks  breakers operating
                   finding (which orders) inspecting (one order) defining (drawn)  dashboard/
    the process    main app listening connections waking errors  doors access clients (who may come in)

Two listeners in one process: one for clients, one for operators. The edge imports the orchestrator's definitions, core
and HTTP caller, never its worker or listener.
"""
