"""An order's timeline in a terminal: what was tried, waited for and undone is told by characters, within 80 columns."""

from dataclasses import replace

from orchestrator.operations.timeline_view import draw
from orchestrator.timeline import Bar, BarKind, Lane, Mark, Phase, Timeline
from sql.models import Direction, Kind

DOING, UNDOING = Direction.ACTION, Direction.COMPENSATION
ATTEMPT, DELAY, WAIT = BarKind.ATTEMPT, BarKind.DELAY, BarKind.WAIT
COURSE = Timeline(
    length_s=10.0,
    ended=True,
    statuses=(
        Phase("RECEIVED", 0.0, 0.4),
        Phase("RUNNING", 0.4, 6.0),
        Phase("COMPENSATING", 6.0, 10.0, reason="stock was rejected"),
        Phase("FAILED", 10.0, 10.0),
    ),
    holds=(Phase("PAUSED", 1.5, 2.5, reason="look"),),
    lanes=(
        Lane(
            "authorize", "compensated", None,
            (
                Bar(ATTEMPT, DOING, 1, 1, 0.0, 0.4, outcome="succeeded"),
                Bar(ATTEMPT, UNDOING, 1, 1, 8.0, 10.0, outcome="succeeded"),
            ),
        ),
        Lane(
            "stock", "rejected", None,
            (
                Bar(ATTEMPT, DOING, 1, 1, 1.0, 1.5, outcome="unknown", taken_over=True),
                Bar(DELAY, DOING, 1, 2, 1.5, 4.0),
                Bar(ATTEMPT, DOING, 1, 2, 4.0, 6.0, outcome="rejected"),
            ),
        ),
        Lane("a_step_with_a_name_that_is_long", "pending", None, ()),
    ),
    marks=(
        Mark(Kind.TAKEOVER, "takeover", 1.5, "stock", None, None, "two", 5),
        Mark(Kind.OPERATOR, "pause", 1.5, None, "ann", "look\x1b[2J", "two", 6),
    ),
    scale=((0.0, 0.0), (10.0, 1.0)),
)  # fmt: skip
DRAWN = """\
10 s from its record to its end; long times are drawn shorter than they were
                   ||running           |compensating  FAILED
on hold                 |::                           1 s
authorize          =+                         <<<<<+  400 ms, undo 2 s
stock                 =!........======x               2 in 2.5 s, waits 2.5 s
a_step_with_a_na..                                    pending
                        ^
! at 1.5 s: takeover of stock
^ at 1.5 s: pause by ann: look\\x1b[2J
= call  < undo  . delay  ~ wait;  + done  x refused  ? unclear  ! taken over\
"""


def drawn(course: Timeline, width: int = 80) -> list[str]:
    return [line.plain for line in draw(course, width)]


def test_a_course_is_drawn_with_every_attempt_wait_takeover_and_undoing() -> None:
    assert drawn(COURSE) == DRAWN.splitlines()


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in (80, 100, 140, 200):
        assert max(map(len, drawn(COURSE, width))) <= width


def test_what_is_piped_is_as_on_80_columns_and_nothing_is_cut_short() -> None:
    lines = drawn(COURSE, 10_000)

    assert lines[4] == DRAWN.splitlines()[4]
    assert lines[5].startswith("a_step_with_a_name_that_is_long ")


def test_what_lasts_says_since_when_and_until_when_at_the_latest() -> None:
    waits = Lane("approval", "running", None, (Bar(WAIT, DOING, 1, 1, 2.0, None, due_s=70.0),))
    course = replace(
        COURSE, ended=False, statuses=(Phase("RUNNING", 0.0),), holds=(), lanes=(waits,), marks=(),
    )  # fmt: skip

    assert drawn(course)[1:3] == [
        "                   |running                           RUNNING for 10 s",
        "approval                 ~~~~~~~~~~~~~~~~~~~~~~~~~~>  waits 8 s, due in 60 s",
    ]


def test_as_many_attempts_as_have_room_are_seen_and_the_last_of_all() -> None:
    tries = tuple(Bar(ATTEMPT, DOING, 1, n, n / 10, n / 10 + 0.01, outcome="unknown") for n in range(40))
    course = replace(
        COURSE, lanes=(Lane("stock", "unknown", None, (*tries, replace(tries[-1], outcome="rejected"))),), marks=()
    )

    (line,) = (line for line in drawn(course) if line.startswith("stock"))

    assert line.count("=?") > 10
    assert "=x" in line
