"""What every contestant is to the benchmark."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import psycopg


@dataclass(frozen=True)
class Contestant:
    """One way to do the job.

    Attributes:
        name: As the tables show it.
        module: Has `work()`, which works in a process of its own until SIGTERM, in the place that the environment names; and
            `singles(count)` where a saga is best started in the process that runs it: milliseconds of each, one by one.
        packages: Distributions whose versions are told.
        tuning: What was set, and why: one sentence or two for the report.
        prepare: Make the schema in an empty database.
        enqueue: Write so many sagas, as the backlog of a worker that is not there yet.
        finished: Count the sagas that are complete.
        submitting: Open what a client needs; yields the act of starting one saga; None where the module has
            `singles`.
        sagas: How many it drains in a round: some seconds' worth.
        environment: Variables of its worker process.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    tuning: str
    prepare: Callable[[str], None]
    enqueue: Callable[[str, int], None]
    finished: Callable[[psycopg.Connection[Any]], int]
    sagas: int
    submitting: Callable[[str], AbstractContextManager[Callable[[], None]]] | None = None
    environment: dict[str, str] = field(default_factory=dict)
