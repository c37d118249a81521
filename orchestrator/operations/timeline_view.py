"""An order's timeline for a terminal: a line a step, a bar an attempt, in plain characters, so that it needs no colour."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from rich.text import Text

from orchestrator.operations.render import plain
from orchestrator.operations.stats_view import lasting
from orchestrator.timeline import Bar, BarKind, Lane, Mark, Phase, Timeline
from sql.models import Direction, Kind

WIDTH: Final = 80
"""Where nobody says how wide it may be: in a file or a pipe it is as on the narrowest terminal."""
WIDTH_MAX: Final = 140
_NAME: Final = 18
_TEXT: Final = 26
_MARKS_MAX: Final = 9
_HELD: Final = ":" * WIDTH_MAX
LEGEND: Final = "= call  < undo  . delay  ~ wait;  + done  x refused  ? unclear  ! taken over"
_FILL: Final = {BarKind.ATTEMPT: "=", BarKind.DELAY: ".", BarKind.WAIT: "~"}
_END: Final = {"succeeded": "+", "rejected": "x", "unknown": "?", None: ">"}
_STYLE: Final = {"succeeded": "green", "rejected": "red", "unknown": "yellow", None: "bold"}

Cell = tuple[str, str]
"""A character and its style."""


def draw(course: Timeline, width: int) -> Iterator[Text]:
    """Return the lines of a drawing, none wider than a terminal; where there is no terminal texts are not cut short."""
    cut = width <= WIDTH_MAX * 2
    columns = (min(width, WIDTH_MAX) if cut else WIDTH) - _NAME - _TEXT - 2
    since = f"{lasting(course.length_s)} {'from its record to its end' if course.ended else 'since its record'}"
    yield Text(f"{since}; long times are drawn shorter than they were", style="dim")
    yield _line("", _phases(course, course.statuses, columns), _standing(course), cut)
    if course.holds:
        held_s = sum(_length(course, hold.start_s, hold.end_s) for hold in course.holds)
        yield _line(
            "on hold", _phases(course, [replace(hold, name=_HELD) for hold in course.holds], columns), lasting(held_s), cut
        )
    for lane in course.lanes:
        yield _line(lane.step, _cells(course, lane.bars, columns), _told(course, lane), cut)
    yield from _marks(course, columns, cut)
    if course.lanes:
        yield Text(LEGEND, style="dim")


def _line(name: str, cells: Sequence[Cell], text: str, cut: bool) -> Text:
    told = plain(_shortened(text, _TEXT) if cut else text)
    name = _shortened(name, _NAME) if cut else name
    runs = [("".join(character for character, _ in run), style) for style, run in groupby(cells, key=lambda cell: cell[1])]
    line = Text.assemble(plain(f"{name:<{_NAME}}"), " ", *runs, " ", told)
    line.rstrip()
    return line


def _column(course: Timeline, at_s: float, columns: int) -> int:
    return min(int(course.place(at_s) * columns), columns - 1)


def _cells(course: Timeline, bars: Sequence[Bar], columns: int) -> list[Cell]:
    cells: list[Cell] = [(" ", "")] * columns
    free = 0
    for bar in bars:
        end = _column(course, course.length_s if bar.end_s is None else bar.end_s, columns)
        start = _column(course, bar.start_s, columns)
        if bar.kind is BarKind.DELAY:
            for column in range(max(start, free), end):
                cells[column] = (".", "dim")
            continue
        # Two characters at the least, which say that it was made and what became of it; one that has no room moves on a little.
        start = min(max(start, free), columns - 2)
        end = max(end, start + 2)
        fill = "<" if bar.direction is Direction.COMPENSATION else _FILL[bar.kind]
        style = "magenta" if fill == "<" else _STYLE[bar.outcome]
        last = "!" if bar.taken_over else _END[bar.outcome]
        cells[start:end] = [*[(fill, style)] * (end - start - 1), (last, f"bold {_STYLE[bar.outcome]}")]
        free = end
    return cells


def _phases(course: Timeline, phases: Sequence[Phase], columns: int) -> list[Cell]:
    cells: list[Cell] = [(" ", "")] * columns
    for phase in phases:
        start = _column(course, phase.start_s, columns)
        end = _column(course, course.length_s if phase.end_s is None else phase.end_s, columns)
        if phase.start_s < course.length_s:
            room = max(end - start, 1)
            cells[start : start + room] = [(character, "bold") for character in f"|{phase.name.lower()}".ljust(room)[:room]]
    return cells


def _standing(course: Timeline) -> str:
    last = course.statuses[-1]
    return last.name if course.ended else f"{last.name} for {lasting(course.length_s - last.start_s)}"


def _told(course: Timeline, lane: Lane) -> str:
    """Return what a lane's bars were in figures: calls with their time, waits, undoing; the state where nothing was tried."""
    said = []
    for direction, word in ((Direction.ACTION, ""), (Direction.COMPENSATION, "undo ")):
        bars = [bar for bar in lane.bars if bar.direction is direction]
        calls = [bar for bar in bars if bar.kind is BarKind.ATTEMPT]
        if calls:
            took_s = sum(_length(course, bar.start_s, bar.end_s) for bar in calls)
            said.append(f"{word}{f'{len(calls)} in ' if len(calls) > 1 else ''}{lasting(took_s)}")
        waits = [bar for bar in bars if bar.kind is not BarKind.ATTEMPT]
        if waits:
            waited_s = sum(_length(course, bar.start_s, bar.end_s) for bar in waits)
            due_s = next((bar.due_s for bar in waits if bar.end_s is None and bar.due_s is not None), None)
            due = f", due in {lasting(max(due_s - course.length_s, 0.0))}" if due_s is not None else ""
            said.append(f"waits {lasting(waited_s)}{due}")
    return ", ".join(said) or lane.state


def _marks(course: Timeline, columns: int, cut: bool) -> Iterator[Text]:
    if not course.marks:
        return
    cells: list[Cell] = [(" ", "")] * columns
    for mark in course.marks:
        cells[_column(course, mark.at_s, columns)] = (_sign(mark), "bold")
    yield _line("", cells, "", cut)
    for mark in course.marks[:_MARKS_MAX]:
        who = f" by {mark.actor}" if mark.actor else ""
        why = f": {mark.reason}" if mark.reason else ""
        about = f" of {mark.step}" if mark.step else ""
        yield plain(f"{_sign(mark)} at {lasting(mark.at_s)}: {mark.what}{about}{who}{why}")
    if len(course.marks) > _MARKS_MAX:
        yield Text(f"and {len(course.marks) - _MARKS_MAX} more, which the journal shows")


def _sign(mark: Mark) -> str:
    return "!" if mark.kind is Kind.TAKEOVER else "^"


def _length(course: Timeline, start_s: float, end_s: float | None) -> float:
    return (course.length_s if end_s is None else end_s) - start_s


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 2]}.."
