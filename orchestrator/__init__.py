"""The orchestrator: definitions of sagas, the pure core that decides, and the loop that runs them.

::

    a definition     step retry saga (typed steps)  identity  fingerprint snapshot  describing drawing  events  sagas/
      is it sound    builders (what functions read)  soundness dependencies expiry  loading (a team's own)
      as configured  configuration configuring config_shown (pending, active)  canary  definitions (what a process runs)
    the core, pure   progress outcome verb (its values)  turns undoing answers asked  machine (settle, proceed)  phases retrace
    an order         opening (how it begins)  work
      is shown       timeline (its course)  changes (what an entry changed)
    is asked to      preview verdict seen  operating mending (verbs) offered  signalling cancelling paying
      at work        hold  runner (decide, write, call)  taking_back aside  writer (group commit)
    is traced        spans (pure: which)  tracing (when)
    a call           prepared participant (what an answer means)  addresses credentials transport/
                     fleet circuit breaker breaking bulkhead (whether at all)
    a replica        main connecting settings switch logs metrics exposing  worker listener wakes watchdog  retention
                     webhooks/  oncall/ (people are told)  money
    of every door    bearer api_keys
    commands         operations/  version

Imports inside run one way: step ← saga ← progress ← turns ← undoing ← answers ← asked ← machine ← work ← runner ← worker.
"""
