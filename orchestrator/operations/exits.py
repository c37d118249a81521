"""How a command ends: its exit code, and one sentence on stderr where it did not do what was asked."""

import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NoReturn

import click

# Roots of other packages' expected exceptions. They are looked up where they were imported, which is wherever one can
# have been raised: so this package imports no service.
_ROOTS: Final = (("edge_api.main", "EdgeError"), ("participants.errors", "ParticipantError"))


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run a command and end the process: 0 done, 1 failed, 2 wrongly asked for."""
    try:
        "".join(sys.argv).encode()
    except UnicodeEncodeError:
        _end(name, "the arguments are not all text in UTF-8", 2)
    try:
        code = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _end(name, _usage(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end(name, "stopped", 130)
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not try to flush what is left of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from orchestrator.operations.failures import sentence

        sys.excepthook = _tell_bug
        _end(name, sentence(error, *_other_roots()), getattr(error, "exit_code", 1))
    sys.exit(code if isinstance(code, int) else 0)


def _tell_bug(_kind: type[BaseException], error: BaseException, _frames: TracebackType | None) -> None:
    """Tell where a bug is, without the data over which it was raised."""
    from sql.telling import traceback_of

    print(traceback_of(error), file=sys.stderr)


def _end(name: str, sentence: str, code: int) -> NoReturn:
    if "--json" in sys.argv:
        from orchestrator.operations.render import print_json

        print_json({"error": sentence})
    print(f"{name}: {printable(sentence)}", file=sys.stderr)
    sys.exit(code)


def printable(text: str) -> str:
    """Return a text without control sequences: what a server, a file or a client has said must not reach a terminal as one."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    advice = f"; see `{context.command_path} --help`" if context else ""
    return " ".join(error.format_message().split()).rstrip(".") + advice


def _other_roots() -> Iterator[type[Exception]]:
    for module, name in _ROOTS:
        if module in sys.modules:
            yield getattr(sys.modules[module], name)
