"""The benchmark: one job, done by this project and by its peers from PyPI, side by side on one server.

::

    python -m bench ──▶ measure.py    one contestant, one question: drain a backlog, time single sagas, count what it costs
                        ours.py       this project's worker process
                        peers/*.py    the others', each tuned as its own documentation advises
                        floors.py     the least SQL that could do the job, by pgbench
                        named.py      figures of this project alone: a full ledger, an idle replica, two workers, …
                        chain.py      what the journal's hash chain costs the server
                        fairness.py   what a client that floods costs another
                        report.py     medians and spread, a table and a plot, between the marks of README.md

The job (`job.py`): four steps, one after the other, each an HTTP POST to a stub (`stub.py`) and its answer durable, then the
saga marked complete.
"""
