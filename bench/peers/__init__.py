"""The peers: each module says how one of them does the job, and is run as its worker process."""

from bench.contestant import Contestant


def all_peers() -> tuple[Contestant, ...]:
    """Return every peer; they are imported here, since the product's own environment has none of them."""
    from bench.peers.absurd_peer import ABSURD
    from bench.peers.dbos_peer import DBOS_PEER
    from bench.peers.pgqueuer_peer import PGQUEUER
    from bench.peers.procrastinate_peer import PROCRASTINATE
    from bench.peers.sagaz_peer import SAGAZ

    return (PGQUEUER, SAGAZ, ABSURD, PROCRASTINATE, DBOS_PEER)
