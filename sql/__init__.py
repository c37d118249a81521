"""The database contract: migrations, named queries, and one store function per query.

::

    sql/migrations/   what the tables are; migrate applies them
    sql/queries/      what is asked of them, `-- name: verb_noun`; loader reads and runs them
    sql/audit/        what must hold of them, and what auditors ask; auditing runs it
    one function a query, of the same name, a module a subject:
                      ledger reading families events webhooks oncall config definitions fleet registry retention histories chain
                      api_keys acts erasure measuring retrying halted changes
    for people        looking (statements that the page shows)
    models            statuses, rows, transitions
    the server        connect (limits of every wait)  tasks (their end)  telling (log lines)  tracing otel (spans)
                      embedded (one from a wheel)

Imports nothing else of this project.
"""
