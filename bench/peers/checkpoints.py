"""A checkpoint for each step, in a table of the user's own: what a job queue is given to make it durable from step to step."""

from typing import Final

CREATE: Final = "create table checkpoint (saga_id text, step text, answer jsonb not null, primary key (saga_id, step))"
READ: Final = "select step from checkpoint where saga_id = %s"
WRITE: Final = "insert into checkpoint (saga_id, step, answer) values (%s, %s, %s)"


def numbered(statement: str) -> str:
    """Return a statement with the placeholders of asyncpg."""
    parts = statement.split("%s")
    return parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], 1))
