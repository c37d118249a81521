"""The five services that a saga's steps call: orders, inventory, payments, shipping, notifications.

Each lets in only who has its secret (`access`), owns a database and fences every change in the transaction of its effect
(`idempotency`), logs what it really did (`effects`), forgets a person when it is asked to (`erasure`), and can be told to
misbehave (`faults`, behind a setting). They share `contracts` with the orchestrator and nothing else; of this project they
import only `sql.loader`, `sql.tasks`, `sql.telling` and `sql.tracing`.
"""
