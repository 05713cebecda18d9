"""The inner state machine under moto's interpreter: every way in which a job can end."""

import pytest

from tests.contract.second_interpreter.interpreter import (
    Fails,
    Interpreter,
    IsRefused,
    Raises,
    Returns,
    Succeeds,
)

NO_NEWS = Returns()


def test_job_run_succeeds_when_its_event_answers_the_token(interpreter: Interpreter) -> None:
    execution = interpreter.run_job()

    assert execution.status == "SUCCEEDED"
    assert execution.path == ["Add Job Run"]


def test_job_run_hands_over_names_and_a_token_when_it_adds_the_job(interpreter: Interpreter) -> None:
    interpreter.run_job()

    (payload,) = interpreter.calls_of("add_job_run")
    assert payload.keys() == {"runId", "job", "executionArn", "taskToken"}
    assert (payload["runId"], payload["job"]) == ("salaries-1", "process")
    assert payload["executionArn"].endswith(":execution:JobRunStateMachine:process")


@pytest.mark.parametrize(
    ("error", "end"),
    [("JobFailedError", "Job Failed"), ("JobCancelledError", "Job Cancelled"), ("LookupError", "Job Failed")],
)
def test_job_run_fails_with_emrs_reason_when_the_job_did(interpreter: Interpreter, error: str, end: str) -> None:
    reason = 'Job process: he said "no"\nand left \\'
    interpreter.functions["add_job_run"] = [Fails(error, reason)]

    execution = interpreter.run_job()

    assert (execution.status, execution.error, execution.cause) == ("FAILED", error, reason)
    assert execution.path == ["Add Job Run", end]


def test_job_run_fails_when_the_function_has_a_bug(interpreter: Interpreter) -> None:
    interpreter.functions["add_job_run"] = [Raises("KeyError", "'runId'")]

    execution = interpreter.run_job()

    assert (execution.status, execution.error) == ("FAILED", "KeyError")
    assert execution.path == ["Add Job Run", "Job Failed"]
    assert len(interpreter.calls_of("add_job_run")) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Raises("TransientError", "StartJobRun: ThrottlingException"),
        IsRefused("ServiceException"),
        IsRefused("AWSLambdaException"),
        IsRefused("SdkClientException"),
        IsRefused("TooManyRequestsException"),
    ],
    ids=lambda trouble: getattr(trouble, "error", None) or trouble.code,
)
def test_job_run_tries_again_when_the_trouble_will_pass(interpreter: Interpreter, trouble: Raises | IsRefused) -> None:
    interpreter.functions["add_job_run"] = [trouble, trouble, Succeeds()]

    execution = interpreter.run_job()

    assert execution.status == "SUCCEEDED"
    assert execution.path == ["Add Job Run"]
    assert len(interpreter.calls_of("add_job_run")) == 3


def test_job_run_submits_a_burst_when_emr_throttles_for_long(interpreter: Interpreter) -> None:
    interpreter.functions["add_job_run"] = [*[Raises("TransientError")] * 30, Succeeds()]

    assert interpreter.run_job().status == "SUCCEEDED"


def test_job_run_asks_emr_when_no_event_came(interpreter: Interpreter) -> None:
    interpreter.functions["add_job_run"] = [NO_NEWS]

    execution = interpreter.run_job()

    assert execution.status == "SUCCEEDED"
    assert execution.path == ["Add Job Run", "Check Status"]
    (added,), (checked,) = interpreter.calls_of("add_job_run"), interpreter.calls_of("check_status")
    assert checked["taskToken"] != added["taskToken"]
    assert {**checked, "taskToken": ""} == {**added, "taskToken": ""}


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (Succeeds(), []),
        (Fails("JobFailedError", "Job process: ExitCode: 1."), ["Job Failed"]),
        (Fails("JobCancelledError", "Job process: cancelled"), ["Job Cancelled"]),
        (Raises("LookupError", "never submitted"), ["Job Failed"]),
    ],
    ids=["success", "failed", "cancelled", "bug"],
)
def test_job_run_keeps_asking_when_events_stay_away(
    interpreter: Interpreter, answer: Succeeds | Fails | Raises, end: list[str]
) -> None:
    interpreter.functions |= {"add_job_run": [NO_NEWS], "check_status": [NO_NEWS, answer]}

    execution = interpreter.run_job()

    assert execution.status == ("FAILED" if end else "SUCCEEDED")
    assert execution.path == ["Add Job Run", "Check Status", "Check Status", *end]


def test_job_run_asks_again_when_emr_throttles_the_question(interpreter: Interpreter) -> None:
    interpreter.functions |= {
        "add_job_run": [NO_NEWS],
        "check_status": [Raises("TransientError"), Succeeds()],
    }

    execution = interpreter.run_job()

    assert execution.path == ["Add Job Run", "Check Status"]
    assert len(interpreter.calls_of("check_status")) == 2


def test_job_run_waits_for_other_jobs_when_it_is_too_early(interpreter: Interpreter) -> None:
    interpreter.functions |= {
        "add_job_run": [Fails("UpstreamPendingError", "waits for a"), Succeeds({"state": "SUCCESS"})],
        "wait_for_upstream": [NO_NEWS, Succeeds({"job": "process"})],
    }

    execution = interpreter.run_job()

    assert execution.status == "SUCCEEDED"
    assert execution.path == ["Add Job Run", "Wait For Upstream", "Wait For Upstream", "Add Job Run"]
    waited, _ = interpreter.calls_of("wait_for_upstream")
    assert waited.keys() == {"runId", "job", "executionArn", "taskToken"}


@pytest.mark.parametrize("waits", [False, True])
def test_job_run_ends_well_when_the_job_is_skipped(interpreter: Interpreter, waits: bool) -> None:
    skipped = Fails("JobSkippedError", "Not every upstream job succeeded.")
    interpreter.functions["add_job_run"] = [Fails("UpstreamPendingError", "waits") if waits else skipped]
    interpreter.functions["wait_for_upstream"] = [skipped]

    execution = interpreter.run_job()

    assert execution.status == "SUCCEEDED"
    assert execution.path == ["Add Job Run", *(["Wait For Upstream"] if waits else []), "Job Skipped"]


@pytest.mark.parametrize("error", ["JobCancelledError", "JobFailedError", "KeyError"])
def test_job_run_fails_when_it_ends_while_it_waits(interpreter: Interpreter, error: str) -> None:
    interpreter.functions["add_job_run"] = [Fails("UpstreamPendingError", "waits")]
    interpreter.functions["wait_for_upstream"] = [Fails(error, "no")]

    execution = interpreter.run_job()

    assert (execution.status, execution.error) == ("FAILED", error)
