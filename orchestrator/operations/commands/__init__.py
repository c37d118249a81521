"""The commands of `saga`, a module a subject: each command a few lines over the modules beside this package.

Modules that a command needs are imported when it runs: a participant starts without the orchestrator, `--help` without any.
"""
