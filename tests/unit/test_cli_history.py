from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from emrp.history import Step, read_steps

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def history(*events: tuple[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Events a second apart, each caused by the one before unless it says otherwise."""
    for number, (kind, more) in enumerate(events, start=1):
        at = START + timedelta(seconds=number)
        yield {"id": number, "previousEventId": number - 1, "type": kind, "timestamp": at, **more}


def entered(kind: str, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name}, **more}


def exited(kind: str, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateExited", {"stateExitedEventDetails": {"name": name}, **more}


def outcomes(steps: list[Step]) -> list[tuple[str, float, bool]]:
    return [(step.name, step.seconds(START), step.failed) for step in steps]


def test_states_are_listed_with_their_times_when_a_run_succeeded() -> None:
    events = history(
        ("ExecutionStarted", {}),
        entered("Task", "Plan Run"),
        ("TaskScheduled", {}),
        ("TaskSucceeded", {}),
        exited("Task", "Plan Run"),
        entered("Succeed", "Run Succeeded"),
        exited("Succeed", "Run Succeeded"),
        ("ExecutionSucceeded", {}),
    )

    assert outcomes(read_steps(events)) == [("Plan Run", 3, False), ("Run Succeeded", 1, False)]


def test_states_inside_a_map_are_left_out_when_iterations_overlap() -> None:
    events = history(
        ("ExecutionStarted", {}),
        entered("Map", "Run Jobs"),
        ("MapStateStarted", {}),
        ("MapIterationStarted", {}),  # 4
        ("MapIterationStarted", {"previousEventId": 3}),  # 5
        entered("Task", "Run Job", previousEventId=4),  # 6
        entered("Task", "Run Job", previousEventId=5),  # 7
        ("TaskFailed", {"previousEventId": 6, "taskFailedEventDetails": {"error": "JobFailedError"}}),  # 8
        exited("Task", "Run Job", previousEventId=8),  # 9
        ("MapIterationSucceeded", {"previousEventId": 9}),  # 10
        exited("Task", "Run Job", previousEventId=7),  # 11
        ("MapIterationSucceeded", {"previousEventId": 11}),  # 12
        ("MapStateSucceeded", {"previousEventId": 12}),  # 13
        exited("Map", "Run Jobs"),
        entered("Task", "Clean Up"),
    )

    steps = read_steps(events)

    assert [step.name for step in steps] == ["Run Jobs", "Clean Up"]
    assert (steps[0].failed, steps[0].ended_at) == (False, START + timedelta(seconds=14))
    assert steps[1].ended_at is None


def test_state_is_failed_when_its_error_was_caught() -> None:
    events = history(
        entered("Task", "Plan Run"),
        ("TaskFailed", {"taskFailedEventDetails": {"error": "InvalidPipelineError"}}),
        exited("Task", "Plan Run"),
        entered("Task", "Clean Up"),
    )

    (plan_run, clean_up) = read_steps(events)

    assert (plan_run.failed, plan_run.detail) == (True, "InvalidPipelineError")
    assert not clean_up.failed


def test_state_is_not_failed_when_a_retry_succeeded() -> None:
    events = history(
        entered("Task", "Plan Run"),
        ("TaskFailed", {"taskFailedEventDetails": {"error": "TransientError"}}),
        ("TaskScheduled", {}),
        ("TaskSucceeded", {}),
        exited("Task", "Plan Run"),
    )

    assert outcomes(read_steps(events)) == [("Plan Run", 4, False)]


def test_last_state_is_over_and_failed_when_the_execution_ended_in_it() -> None:
    stopped = history(entered("Task", "Launch Application"), ("ExecutionAborted", {}))
    failed = history(entered("Fail", "Run Failed"), ("ExecutionFailed", {}))

    assert outcomes(read_steps(stopped)) == [("Launch Application", 1, True)]
    assert outcomes(read_steps(failed)) == [("Run Failed", 1, True)]


def test_seconds_go_on_when_a_step_still_runs() -> None:
    assert Step("Run Jobs", START).seconds(START + timedelta(seconds=7)) == 7


def test_state_is_not_failed_when_its_error_only_leads_another_way() -> None:
    events = history(
        entered("Task", "Launch Application"),
        ("TaskFailed", {"taskFailedEventDetails": {"error": "RunQueuedError"}}),
        exited("Task", "Launch Application"),
        entered("Task", "Wait For Slot"),
    )

    launch, wait = read_steps(events)

    assert (launch.failed, launch.detail) == (False, "has to wait")
    assert wait.ended_at is None


def test_state_is_one_step_when_it_waits_on_after_a_heartbeat() -> None:
    passed = ("TaskTimedOut", {"taskTimedOutEventDetails": {"error": "States.HeartbeatTimeout"}})
    wait = [entered("Task", "Wait For Upstream"), passed, exited("Task", "Wait For Upstream")]
    events = history(*wait, *wait, entered("Task", "Wait For Upstream"), exited("Task", "Wait For Upstream"))

    (step,) = read_steps(events)

    assert (step.seconds(START), step.failed, step.detail) == (7, False, "")
