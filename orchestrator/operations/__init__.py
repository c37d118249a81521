"""What people run: a whole stack on one machine, a demo of it, a replay of real orders, and how all is shown.

::

    commands/  what `saga` understands: each command a few lines over the modules below
    place      which ledger, edge and participants a command talks to
    plan       what a stack consists of: ports, environments          (no processes)
    stack      the parts as processes: started, watched, stopped
    lifeline   how a part waits for its start, and ends with the stack
    shop       a client of the edge and of the participants, as a shop's own backend would be one
    scenarios  what a demo places and what each order must come to    (pure)
    demo       the stack, the scenarios, the summary, the audit
    replay     a file of invoices as orders, every line accounted for (pure)
    replaying  the stack, the file's orders, the summary, the audit
    render     tables for people
    failures   an exception as one sentence

Services are started through the command line, never imported.
"""
