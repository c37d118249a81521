"""What stops an edge from starting."""


class EdgeError(Exception):
    """The edge can't start; the sentence says why and what to do. Nothing was served."""
