"""What stops an edge from starting, or from going on."""


class EdgeError(Exception):
    """The edge can't start, and nothing was served; or it had to stop. The sentence says why and what to do."""
