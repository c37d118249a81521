"""The database contract: migrations, named queries, and one store function per query.

::

    sql/migrations/   what the tables are
    sql/queries/      what is asked of them, `-- name: verb_noun`
    sql/audit/        what must hold of them, and what auditors ask
    sql/ledger.py     one async function per query of the ledger, of the same name

Imports nothing else of this project.
"""
