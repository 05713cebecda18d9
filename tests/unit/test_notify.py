"""People get one notification for each end of a run, and it says why."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from emr_pipelines import domain_event
from emr_pipelines.domain_event import pipeline_file_rejected
from emr_pipelines.errors import InvalidPipelineError, InvalidTriggerError, Problem
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notification import file_rejected, run_ended, trigger_rejected
from emr_pipelines.run import Job, Run
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import RUN_ID
from tests.unit.fakes import FakeTopic

Invoke = Callable[..., Any]

RUN = Run(
    run_id="salaries-1",
    pipeline="salaries",
    execution_arn="arn",
    started_at="2026-11-21T12:00:00.000000Z",
    ended_at="2026-11-21T12:01:05.500000Z",
    state="FAILED",
    trigger={"type": "upload", "uri": "s3://bucket/landing/salaries/a.csv"},
    parameters={"top": 10},
    error="JobFailedError",
    cause="Job process: Job failed, please check complete logs in configured logging destination. ExitCode: 1.",
    output="s3://bucket/output/salaries/salaries-1",
)
JOB = Job(
    run_id="salaries-1",
    pipeline="salaries",
    name="process",
    position=0,
    request={},
    state="FAILED",
    application_id="app1",
    job_run_id="run1",
    states=[{"state": "SUBMITTED", "at": "2026-11-21T12:00:10.000000Z"}],
    ended_at="2026-11-21T12:01:00.000000Z",
    state_details="Job failed. ExitCode: 1. Last few exceptions: ValueError: salary is not a number",
    log_uri="s3://bucket/logs/",
)


def test_notify_lists_what_was_left_when_a_sweep_found_something(invoke: Invoke, topic: FakeTopic) -> None:
    invoke("notify", "sweep_completed")

    ((subject, body, attributes),) = topic.sent
    assert subject.startswith("Swept up 1 more and run salaries-1: its execution ended ABORTED")
    assert "- application 00fl7c3k9h2a5o0p of run salaries-0" in body
    assert "still there: RequestRefusedError: StopApplication" in body
    assert "emr-pipelines" in body
    assert attributes == {"pipeline": "unknown", "state": "SWEPT"}


@pytest.mark.usefixtures("submitted")
class TestNotify:
    """The end of a run that was recorded."""

    def test_notify_sends_one_notification_when_an_event_comes_twice(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic
    ) -> None:
        record.end_run(RUN_ID, "FAILED", "JobFailedError", "Job process: ExitCode: 1.")
        for _ in range(2):
            invoke("notify", "pipeline_run_failed")

        ((subject, _, attributes),) = topic.sent
        assert subject == "salaries failed: Job process: ExitCode: 1."
        assert attributes == {"pipeline": "salaries", "state": "FAILED"}

    def test_notify_is_silent_when_the_pipeline_does_not_ask_for_this_end(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic
    ) -> None:
        run = record.get_run(RUN_ID)
        assert run is not None
        record.save_plan(replace(run, notify_on=["FAILED"]), [])
        record.end_run(RUN_ID, "SUCCEEDED", None, None)
        invoke("notify", "pipeline_run_succeeded")

        assert topic.sent == []


def test_run_ended_says_which_job_failed_why_and_where_the_log_is() -> None:
    body = run_ended(RUN, [JOB]).body

    assert body.startswith("Why process failed\n  Job failed. ExitCode: 1.")
    assert "ValueError: salary is not a number" in " ".join(body.split())
    assert "s3://bucket/logs/applications/app1/jobs/run1/SPARK_DRIVER/" in body
    assert "process                  FAILED         50.0 s" in body
    assert "Duration   1 min 06 s" in body
    assert "Result" not in body


def test_run_ended_calls_only_the_job_that_failed_a_failure_when_others_were_skipped() -> None:
    skipped = replace(JOB, name="report", state="SKIPPED", state_details="Not every upstream job succeeded.")

    body = run_ended(RUN, [JOB, skipped]).body

    assert "Why process failed" in body
    assert "Why report" not in body
    assert "report                   SKIPPED" in body


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("SUCCEEDED", "succeeded"), ("FAILED", "failed"), ("CANCELLED", "was cancelled"), ("TIMED_OUT", "timed out"),
        ("SKIPPED", "was skipped"),
    ],
)  # fmt: skip
def test_subject_says_how_the_run_ended_when_it_ends_in_any_way(state: str, words: str) -> None:
    run = replace(RUN, state=state, cause="Its pipeline allows 1 run at a time.")
    skipped = replace(JOB, state="SKIPPED", state_details="The run was skipped.")

    told = run_ended(run, [skipped])

    assert told.subject == f"salaries {words}: Its pipeline allows 1 run at a time."
    assert "failed" not in told.body.replace("JobFailedError", "")


def test_notify_says_what_is_wrong_once_when_a_pipeline_file_is_rejected(invoke: Invoke, topic: FakeTopic) -> None:
    for _ in range(2):
        invoke("notify", "pipeline_file_rejected")

    ((subject, body, attributes),) = topic.sent
    assert subject == "pipelines/salaries.yaml was not registered: line 2: jobs: Input should be a valid list"
    assert body.startswith(
        "What is wrong\n  line 2: jobs: Input should be a valid list\n  application: is missing\n\nFile "
    )
    assert attributes == {"pipeline": "salaries", "state": "REJECTED"}


def test_file_rejected_says_how_much_it_leaves_out_when_there_are_many_problems() -> None:
    error = InvalidPipelineError("pipelines/a.yaml", [Problem(f"jobs[{index}]", "is bad") for index in range(120)])

    body = file_rejected(pipeline_file_rejected("a", "v1", error).detail).body

    assert "jobs[99]: is bad\n  ... and 20 more\n" in body


@pytest.mark.parametrize("run_input", [None, [1], {"trigger": 1, "parameters": [2]}, {"trigger": {"uri": "s3://b/k"}}])
def test_run_ended_can_be_written_when_the_input_of_the_run_was_wrong(run_input: object) -> None:
    run = replace(Run.begin("r", "arn", run_input), state="FAILED", ended_at="2026-11-21T12:01:05.500000Z")

    assert "Trigger    execution" in run_ended(run, []).body


@pytest.mark.parametrize(
    ("details", "reason"),
    [(" Last few exceptions: ValueError: no", "ValueError: no"), ("", "ExitCode: 1.")],
)
def test_run_ended_has_the_reason_in_its_subject_when_emr_gives_one(details: str, reason: str) -> None:
    subject = run_ended(replace(RUN, cause=f"{RUN.cause}{details}"), []).subject

    assert subject == f"salaries failed: Job process: {reason}"


def test_run_ended_gives_the_first_error_when_no_job_failed() -> None:
    body = run_ended(replace(RUN, cause="pipelines/salaries.yaml has 1 problem:\n- jobs: is missing"), []).body

    assert body.startswith("Why\n  pipelines/salaries.yaml has 1 problem:\n  - jobs: is missing\n\nRun ")


def test_run_ended_fits_on_a_screen_and_names_the_result_when_the_run_succeeded() -> None:
    run = replace(RUN, state="SUCCEEDED", error=None, cause=None)
    notification = run_ended(run, [replace(JOB, state="SUCCESS", state_details=None)])

    assert notification.subject == "salaries succeeded"
    assert "Result\n  s3://bucket/output/salaries/salaries-1/\n" in notification.body
    assert "Why" not in notification.body
    assert len(notification.body.splitlines()) <= 24


@given(st.text(), st.sampled_from(["FAILED", "SUCCEEDED", "CANCELLED", "TIMED_OUT"]))
def test_run_ended_gives_sns_a_subject_that_it_takes(cause: str, state: str) -> None:
    subject = run_ended(replace(RUN, cause=cause or None, state=state), []).subject

    assert 0 < len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()


def test_trigger_rejected_says_why_and_what_was_sent_when_a_message_cannot_start_a_run(
    invoke: Invoke, topic: FakeTopic
) -> None:
    for _ in range(2):
        invoke("notify", "trigger_rejected")

    ((subject, body, attributes),) = topic.sent
    assert subject == 'salary was not started: There is no pipeline "salary". Registered pipelines: salaries.'
    assert body.startswith('Why\n  There is no pipeline "salary".')
    assert "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324" in body
    assert attributes == {"pipeline": "salary", "state": "REJECTED"}


def test_trigger_rejected_gives_sns_what_it_takes_when_the_message_is_strange() -> None:
    error = InvalidTriggerError("it is not JSON", "unknown", "\x00" * 3000)
    notification = trigger_rejected(domain_event.trigger_rejected("\x00" * 300_000, error).detail)

    assert notification.attributes["pipeline"].isascii()
    assert notification.attributes["pipeline"].isprintable()
    assert len(notification.body) < 10_000
