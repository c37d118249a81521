"""What people run: a whole stack on one machine, a demo of it, a replay of real orders, and how all is shown.

::

    commands/      what `saga` understands: each command a few lines over the modules below
    all of them    place (which installation)  asking (its ledger)  parameters  render (for people)  exits failures environment
    orders         ledger_view timeline_view stats_view events_view watching  verbs (retry, cancel)  purging erasing retracing
                   bulk (retries of many)  bulk_pace (how they go on; pure)  bulk_view runs
    the fleet      fleet (breakers, registry)  health checking  config_view draining  webhooks_view keys_view  schema
    definitions    definitions_view flows (drawn)  catalogue (of events)
    a stack        up  plan (ports, environments; pure)  stack part ports  lifeline (how a part waits for its start, and ends)
    a demo         demo  shop (a client, as a shop's own backend would be one)  scenarios (pure)  acts board
      of a file    replaying  replay invoices returns (invoices as orders, cancellations matched to them; pure)
    the audit      audit  audit_sides audit_compare audit_log audit_spool audit_report audit_render
                   verifying checkpoint (hash chains)  reconcile reconcile_drift (what differs, its worth, what mends it)
    conformance    conform  conform_contracts conform_case conform_checks conform_undo

Services are started through the command line, never imported.
"""
