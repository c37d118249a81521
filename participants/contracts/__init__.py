"""What services and the orchestrator agree on: wire models and endpoints, no IO.

`strict_json` says what a body is; then one module a service. A request model says what travels; an `Endpoint` says where
it goes and what comes back. Services share these contracts, never code::

    saga step ──builds──▶ request model ──Endpoint──▶ HTTP ──▶ service
                          answer model  ◀───────────── JSON ◀──┘
"""

from participants.contracts.endpoint import ECHO_EXEMPT, Answer, Endpoint, Wire
from participants.contracts.operations import OperationRef, probe_of
from participants.contracts.personal import PERSONAL, is_personal, masked, personal_members, personal_of, without_personal

__all__ = [
    "ECHO_EXEMPT",
    "PERSONAL",
    "Answer",
    "Endpoint",
    "OperationRef",
    "Wire",
    "is_personal",
    "masked",
    "personal_members",
    "personal_of",
    "probe_of",
    "without_personal",
]
