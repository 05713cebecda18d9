"""The outer state machine under moto's interpreter: every error path goes through Clean Up."""

import json

import pytest

from tests.contract.second_interpreter.interpreter import (
    RUN_ID,
    Fails,
    Interpreter,
    IsRefused,
    Raises,
    Returns,
    Succeeds,
    plan_of,
)

NO_NEWS = Returns()
RUN_JOBS = ["Plan Run", "Launch Application", "Run Jobs", "Run Job"]
VERDICT = ["Clean Up", "Did Every Job Succeed"]
SUCCESS = [*RUN_JOBS, *VERDICT, "Run Succeeded"]


def failed(error: str, cause: str) -> Returns:
    """Let Clean Up find that the run has failed."""
    return Returns({"state": "FAILED", "error": error, "cause": cause})


def test_run_succeeds_when_every_job_does(interpreter: Interpreter) -> None:
    execution = interpreter.run_pipeline()

    assert execution.status == "SUCCEEDED"
    assert execution.path == SUCCESS
    (clean_up,) = interpreter.calls_of("clean_up")
    assert (clean_up["error"], clean_up["cause"]) == (None, None)


def test_run_hands_its_name_and_input_to_the_functions_when_it_was_started_by_hand(
    interpreter: Interpreter,
) -> None:
    interpreter.run_pipeline()

    (plan,), (launch,) = interpreter.calls_of("plan_run"), interpreter.calls_of("launch_application")
    (clean_up,), (job,) = interpreter.calls_of("clean_up"), interpreter.calls_of("add_job_run")
    assert plan["input"] == clean_up["input"] == {"pipeline": "salaries", "parameters": {"top": 3}}
    assert plan["executionArn"] == clean_up["executionArn"]
    assert {call["runId"] for call in (plan, launch, clean_up, job)} == {"salaries-1"}


@pytest.mark.parametrize("jobs", [1, 8])
def test_run_stays_in_the_bounds_of_state_transitions_when_it_succeeds(interpreter: Interpreter, jobs: int) -> None:
    names = [f"job{number}" for number in range(jobs)]
    interpreter.functions["plan_run"] = [plan_of(*names)]

    execution = interpreter.run_pipeline()

    assert execution.status == "SUCCEEDED"
    inner = interpreter.job_runs()
    assert inner.keys() == set(names)
    assert len(execution.path) + sum(len(job.path) for job in inner.values()) <= 6 + 2 * jobs


@pytest.mark.parametrize(
    ("function", "trouble", "path"),
    [
        ("plan_run", Raises("InvalidPipelineError", '1 problem:\n- line 2: "jobs" is missing'), ["Plan Run"]),
        (
            "launch_application",
            Raises("ApplicationUnavailableError", "no"),
            ["Plan Run", "Launch Application"],
        ),
        (
            "launch_application",
            Fails("ApplicationUnavailableError", "gone"),
            ["Plan Run", "Launch Application"],
        ),
    ],
    ids=["plan", "launch", "event"],
)
def test_run_cleans_up_and_keeps_the_first_error_when_a_step_fails(
    interpreter: Interpreter, function: str, trouble: Raises | Fails, path: list[str]
) -> None:
    interpreter.functions |= {function: [trouble], "clean_up": [failed(trouble.error, trouble.cause)]}

    execution = interpreter.run_pipeline()

    assert execution.path == [*path, *VERDICT, "Run Failed"]
    assert (execution.status, execution.error, execution.cause) == ("FAILED", trouble.error, trouble.cause)
    (clean_up,) = interpreter.calls_of("clean_up")
    cause = clean_up["cause"] if isinstance(trouble, Fails) else json.loads(clean_up["cause"])["errorMessage"]
    assert (clean_up["error"], cause) == (trouble.error, trouble.cause)


@pytest.mark.parametrize("function", ["plan_run", "launch_application", "add_job_run", "clean_up"])
@pytest.mark.parametrize("trouble", [Raises("TransientError"), IsRefused("TooManyRequestsException")])
def test_run_succeeds_when_trouble_in_a_step_passes(
    interpreter: Interpreter, function: str, trouble: Raises | IsRefused
) -> None:
    interpreter.functions[function] = [trouble, trouble, *interpreter.functions[function]]

    execution = interpreter.run_pipeline()

    assert execution.path == SUCCESS
    assert len(interpreter.calls_of(function)) == 3


def test_run_looks_again_when_no_event_of_the_application_came(interpreter: Interpreter) -> None:
    interpreter.functions["launch_application"] = [NO_NEWS, NO_NEWS, Succeeds()]

    execution = interpreter.run_pipeline()

    assert execution.path == SUCCESS
    assert len(interpreter.calls_of("launch_application")) == 3


def test_run_cleans_up_when_the_application_never_starts(interpreter: Interpreter) -> None:
    missed = "States.HeartbeatTimeout"
    interpreter.functions |= {"launch_application": [NO_NEWS], "clean_up": [failed(missed, "")]}

    execution = interpreter.run_pipeline()

    assert execution.path == ["Plan Run", "Launch Application", *VERDICT, "Run Failed"]
    assert execution.error == missed
    (clean_up,) = interpreter.calls_of("clean_up")
    assert clean_up["error"] == missed


def test_run_finishes_the_other_jobs_when_one_fails(interpreter: Interpreter) -> None:
    interpreter.functions |= {
        "plan_run": [plan_of("a", "b", "c")],
        "add_job_run/b": [Fails("JobFailedError", "Job b: ExitCode: 1.")],
        "add_job_run/c": [NO_NEWS],
        "clean_up": [failed("JobFailedError", "Job b: ExitCode: 1.")],
    }

    execution = interpreter.run_pipeline()

    ends = {name: (job.status, job.path) for name, job in interpreter.job_runs().items()}
    assert ends == {
        "a": ("SUCCEEDED", ["Add Job Run"]),
        "b": ("FAILED", ["Add Job Run", "Job Failed"]),
        "c": ("SUCCEEDED", ["Add Job Run", "Check Status"]),
    }
    assert execution.path.count("Clean Up Jobs") == 1
    assert execution.path[-3:] == [*VERDICT, "Run Failed"]
    assert (execution.error, execution.cause) == ("JobFailedError", "Job b: ExitCode: 1.")
    clean_up_jobs, clean_up = interpreter.calls_of("clean_up")
    assert (clean_up_jobs["runId"], clean_up_jobs["jobs"], clean_up_jobs["error"]) == (
        RUN_ID,
        ["b"],
        "States.TaskFailed",
    )
    assert json.loads(clean_up_jobs["cause"])["Cause"] == "Job b: ExitCode: 1."
    assert clean_up["error"] is None  # which job failed, and why, is in the run record


def test_run_finishes_the_other_jobs_when_a_job_without_an_end_cannot_be_given_one(interpreter: Interpreter) -> None:
    interpreter.functions |= {
        "plan_run": [plan_of("a", "b")],
        "add_job_run/b": [Fails("JobFailedError")],
        "clean_up": [Raises("KeyError"), failed("JobFailedError", "")],
    }

    execution = interpreter.run_pipeline()

    assert execution.path[-5:] == ["Clean Up Jobs", "Let Siblings Finish", *VERDICT, "Run Failed"]


def test_run_goes_straight_to_clean_up_when_there_is_nothing_to_run(interpreter: Interpreter) -> None:
    interpreter.functions["plan_run"] = [plan_of()]

    assert interpreter.run_pipeline().path == [state for state in SUCCESS if state != "Run Job"]


def test_run_fails_when_clean_up_does(interpreter: Interpreter) -> None:
    interpreter.functions["clean_up"] = [Raises("KeyError", "'runId'")]

    execution = interpreter.run_pipeline()

    assert execution.path == [*RUN_JOBS, "Clean Up", "Run Failed"]
    assert (execution.status, execution.error) == ("FAILED", "KeyError")


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "TIMED_OUT", "SOMETHING_NEW", ""])
def test_run_fails_when_clean_up_does_not_find_success(interpreter: Interpreter, state: str) -> None:
    interpreter.functions["clean_up"] = [Returns({"state": state, "error": "", "cause": ""})]

    execution = interpreter.run_pipeline()

    assert execution.path == [*RUN_JOBS, *VERDICT, "Run Failed"]
    assert execution.status == "FAILED"


def test_run_starts_every_job_when_there_are_more_than_one_map_runs_at_the_same_time(interpreter: Interpreter) -> None:
    names = [f"job{number}" for number in range(5)]
    interpreter.functions |= {"plan_run": [plan_of(*names, group=3)], "add_job_run/job1": [Fails("JobFailedError")]}

    execution = interpreter.run_pipeline()

    assert execution.path == [
        "Plan Run",
        "Launch Application",
        "Run Jobs",
        "Run Job",
        "Run Job",
        *VERDICT,
        "Run Succeeded",
    ]
    assert interpreter.job_groups() == [["job0", "job1", "job2"], ["job3", "job4"]]
    assert {name: job.status for name, job in interpreter.job_runs().items()} == {
        name: "FAILED" if name == "job1" else "SUCCEEDED" for name in names
    }


@pytest.mark.parametrize("group", [1, 2])
def test_run_goes_on_to_clean_up_when_its_time_is_over(interpreter: Interpreter, group: int) -> None:
    interpreter.functions |= {
        "plan_run": [plan_of("a", "b", group=group, ends_at=4.0)],
        "launch_application": [Succeeds({"applicationId": "app1"})],
        "add_job_run": [NO_NEWS],
        "check_status": [NO_NEWS],
        "clean_up": [Returns({"state": "TIMED_OUT", "error": "RunTimedOutError", "cause": "late"})],
    }

    execution = interpreter.run_pipeline()

    assert (execution.status, execution.error) == ("FAILED", "RunTimedOutError")
    assert "Clean Up Jobs" in execution.path


def test_run_waits_for_its_turn_when_the_pipeline_has_no_free_slot(interpreter: Interpreter) -> None:
    interpreter.functions |= {
        "launch_application": [Fails("RunQueuedError", "full"), Succeeds({"applicationId": "app1"})],
        "wait_for_slot": [NO_NEWS, Succeeds({"runId": "salaries-1"})],
    }

    execution = interpreter.run_pipeline()

    waiting = ["Launch Application", "Wait For Slot", "Wait For Slot", "Launch Application"]
    assert execution.path == ["Plan Run", *waiting, *SUCCESS[2:]]


def test_run_ends_well_but_runs_nothing_when_it_is_skipped(interpreter: Interpreter) -> None:
    interpreter.functions |= {
        "launch_application": [Fails("RunSkippedError", "full")],
        "clean_up": [Returns({"state": "SKIPPED", "error": "RunSkippedError", "cause": "full"})],
    }

    execution = interpreter.run_pipeline()

    assert execution.path == ["Plan Run", "Launch Application", *VERDICT, "Run Skipped"]
    assert execution.status == "SUCCEEDED"
    assert not interpreter.calls_of("add_job_run")
