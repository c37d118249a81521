"""What replicas tell of themselves in their sessions' names."""

from orchestrator import wakes


def test_a_session_tells_what_it_was_told_and_nothing_of_what_never_happened() -> None:
    assert wakes.session_name({}) == wakes.session_name({"notify": 0}) == "saga listener"
    assert wakes.session_name({"timer": 2, "notify": 10, "stop": 1}) == "saga listener notify=10 timer=2"


def test_a_name_is_kept_whole_by_the_server_however_much_was_claimed() -> None:
    assert len(wakes.session_name(dict.fromkeys(wakes.BY, 999_999_999))) < 64


def test_a_fleet_is_the_sum_of_its_sessions_and_what_is_no_count_is_passed_over() -> None:
    sessions = [
        {"application_name": name, "age_s": 1.5}
        for name in (
            "saga listener notify=3 poll=1",
            "saga listener",
            "saga listener notify=x poll=2 odd=7",
            "saga orchestrator h-1",
        )
    ]

    assert wakes.summed(sessions) == {
        "replicas": ["h-1"],
        "listeners": [{"age_s": 1.5}] * 3,
        "claims": {"notify": 3, "poll": 3, "timer": 0},
    }
