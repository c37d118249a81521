"""The job that every contestant does: four POSTs one after the other, each answer durable, then the saga complete."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""The checkout."""
STEPS: Final = ("orders", "inventory", "payments", "shipping")
"""Names of the steps, and of the paths that they are posted to."""

DATABASE_VARIABLE: Final = "BENCH_DATABASE_URL"
STUB_VARIABLE: Final = "BENCH_STUB_URL"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker process finds what it needs.

    Attributes:
        database_url: The contestant's own database.
        stub_url: Takes the POSTs; no slash at its end.
    """

    database_url: str
    stub_url: str

    @staticmethod
    def given() -> "Place":
        """Return what the process was started with."""
        return Place(os.environ[DATABASE_VARIABLE], os.environ[STUB_VARIABLE])

    def environment(self) -> dict[str, str]:
        """Return the variables to start a process with."""
        return {DATABASE_VARIABLE: self.database_url, STUB_VARIABLE: self.stub_url}


def request_of(saga_id: str) -> dict[str, str]:
    """Return the body of each POST; the stub answers with the same."""
    return {"order_id": saga_id}
