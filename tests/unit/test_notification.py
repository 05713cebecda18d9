"""What people read: why first, 72 columns, nothing that a mail or SNS cannot take, whoever has written it."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from emr_pipelines import domain_event
from emr_pipelines.console_links import Console
from emr_pipelines.cost import find_prices, recorded
from emr_pipelines.domain_event import pipeline_file_rejected
from emr_pipelines.errors import InvalidPipelineError, InvalidTriggerError, Problem
from emr_pipelines.mail_text import log_lines
from emr_pipelines.notification import (
    Notification,
    collected,
    failed_jobs,
    file_rejected,
    job_retried,
    run_ended,
    run_overdue,
    run_started,
    trigger_rejected,
)
from emr_pipelines.run import Job, Run
from hypothesis import given
from hypothesis import strategies as st

RUN = Run(
    run_id="salaries-1",
    pipeline="salaries",
    execution_arn="arn:aws:states:eu-west-1:123456789012:execution:emr-pipelines-pipeline:salaries-1",
    started_at="2026-11-21T12:00:00.000000Z",
    ended_at="2026-11-21T12:01:05.500000Z",
    state="FAILED",
    trigger={"type": "upload", "uri": "s3://bucket/landing/salaries/a.csv"},
    parameters={"top": 10},
    error="JobFailedError",
    cause="Job process: Job failed, please check complete logs in configured logging destination. ExitCode: 1.",
    output="s3://bucket/output/salaries/salaries-1",
    prices=recorded(find_prices("eu-west-1", "X86_64", "X86_64=1/2/4")),
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
    resources={"vCPUHour": 0.5, "memoryGBHour": 2, "storageGBHour": 0.25},
)
SUCCEEDED = replace(RUN, state="SUCCEEDED", error=None, cause=None)
RUNNING = replace(RUN, state="RUNNING", ended_at=None, error=None, cause=None, expected_minutes=30)
LOG = """\
26/11/21 12:00:50 INFO SparkContext: Running Spark version 3.5.9
26/11/21 12:00:51 WARN NativeCodeLoader: Unable to load native-hadoop library
Traceback (most recent call last):
  File "s3://bucket/jobs/process.py", line 33, in <module>
\x1b[31mValueError\x1b[0m: salary is\x00 not a number
26/11/21 12:00:59 INFO ShutdownHookManager: Deleting directory
"""


def ended(run: Run = RUN, jobs: list[Job] | None = None, log: str | None = LOG) -> Notification:
    """Return what is told about the end of a run."""
    jobs = [JOB] if jobs is None else jobs
    return run_ended(run, jobs, "emr-pipelines", {job.name: log for job in failed_jobs(run, jobs)})


def too_wide(body: str) -> list[str]:
    """Return the lines that do not fit into a mail, except for what must not be broken."""
    return [line for line in body.splitlines() if len(line) > 72 and len(line.split()) > 1]


def test_run_ended_says_which_job_failed_why_and_how_it_is_repaired_when_it_failed() -> None:
    told = ended()

    assert told.subject == "salaries failed: Job process: ExitCode: 1."
    assert told.body.startswith("Why process failed\n  Job failed. ExitCode: 1.")
    assert "ValueError: salary is not a number" in " ".join(told.body.split())
    assert "s3://bucket/logs/applications/app1/jobs/run1/SPARK_DRIVER/" in told.body
    assert "\n  emrp repair salaries-1\n" in told.body
    assert "Duration   1 min 06 s\n" in told.body
    assert "Trigger    upload s3://bucket/landing/salaries/a.csv\nParameters top = 10\n" in told.body
    assert "--application-id app1 --job-run-id run1" in told.body
    assert "Result" not in told.body
    assert too_wide(told.body) == []


def test_run_ended_shows_the_exception_and_not_what_spark_says_around_it_when_there_is_a_log() -> None:
    assert (
        "How its driver's log ends\n"
        "  | Traceback (most recent call last):\n"
        '  |   File "s3://bucket/jobs/process.py", line 33, in <module>\n'
        "  | ValueError: salary is  not a number\n"
        "  All of it: emrp logs salaries-1 process\n"
    ) in ended().body


@pytest.mark.parametrize("log", [None, "", "26/11/21 12:00:59 INFO ShutdownHookManager: Deleting directory"])
def test_run_ended_says_where_the_log_will_be_when_there_is_nothing_to_show(log: str | None) -> None:
    body = ended(log=log).body

    assert "could not be read yet. It will be shown by\n  emrp logs salaries-1 process\n  s3://bucket/logs/" in body


def test_run_ended_tells_what_is_billed_and_what_it_costs_when_the_prices_are_known() -> None:
    body = ended().body

    assert "  process                            FAILED             50.0 s    $5.50\n" in body
    assert "Billed     0.500 vCPU-hours, memory 2.000, storage 0.250 GB-hours\nCost       about $5.50\n" in body
    assert "Cost       not known\n" in ended(replace(RUN, prices={})).body


def test_run_ended_calls_only_the_job_that_failed_a_failure_when_others_were_skipped() -> None:
    skipped = replace(
        JOB, name="report", position=1, state="SKIPPED", state_details="Not every upstream job succeeded."
    )

    told = ended(jobs=[JOB, skipped])

    assert "Why process failed" in told.body
    assert "Why report" not in told.body
    assert re.search(r"  report +SKIPPED", told.body)
    assert told.attributes["job"] == ["process"]


def test_run_ended_explains_some_and_counts_the_others_when_many_jobs_failed() -> None:
    jobs = [replace(JOB, name=f"count.{number}", position=number) for number in range(200)]

    told = ended(jobs=jobs)

    assert told.body.count("\nHow its driver's log ends") == 3
    assert "197 more did not succeed: emrp show salaries-1" in told.body
    assert "  ... and 160 more\n" in told.body
    assert len(told.body) < 10_000


def test_run_ended_shows_the_failed_jobs_first_when_there_are_too_many_jobs() -> None:
    jobs = [replace(JOB, name=f"count.{number}", position=number, state="SUCCESS") for number in range(100)]

    body = ended(jobs=[*jobs, replace(JOB, position=100)]).body

    assert re.search(r"  process +FAILED", body)
    assert "  ... and 61 more\n" in body


def test_run_ended_gives_the_reason_of_the_run_when_it_was_stopped() -> None:
    run = replace(RUN, state="CANCELLED", error="RunCancelledError", cause="The execution was stopped.")

    told = ended(run, [replace(JOB, state="CANCELLED", state_details="The run had ended: CANCELLED.")])

    assert told.body.startswith("Why\n  The execution was stopped.\n\nWhen the cause is mended")
    assert told.severity == "WARNING"


@pytest.mark.parametrize(
    ("state", "words", "severity"),
    [
        ("SUCCEEDED", "succeeded", "INFO"), ("FAILED", "failed", "ERROR"), ("CANCELLED", "was cancelled", "WARNING"),
        ("TIMED_OUT", "timed out", "ERROR"), ("SKIPPED", "was skipped", "INFO"),
    ],
)  # fmt: skip
def test_subject_says_how_the_run_ended_when_it_ends_in_any_way(state: str, words: str, severity: str) -> None:
    run = replace(RUN, state=state, cause="Its pipeline allows 1 run at a time.")
    skipped = replace(JOB, state="SKIPPED", state_details="The run was skipped.")

    told = ended(run, [skipped])

    assert told.subject == f"salaries {words}: Its pipeline allows 1 run at a time."
    assert told.attributes == {"pipeline": "salaries", "job": ["process"], "state": state, "severity": severity}
    assert "failed" not in told.body.replace("JobFailedError", "")


@pytest.mark.parametrize("run_input", [None, [1], {"trigger": 1, "parameters": [2]}, {"trigger": {"uri": "s3://b/k"}}])
def test_run_ended_can_be_written_when_the_input_of_the_run_was_wrong(run_input: object) -> None:
    begun = Run.begin("r", RUN.execution_arn, run_input)
    run = replace(begun, state="FAILED", ended_at="2026-11-21T12:01:05.500000Z")

    body = ended(run, []).body

    assert "Trigger    execution" in body
    assert "emrp repair" not in body


@pytest.mark.parametrize(
    ("details", "reason"),
    [(" Last few exceptions: ValueError: no", "ValueError: no"), ("", "ExitCode: 1.")],
)
def test_run_ended_has_the_reason_in_its_subject_when_emr_gives_one(details: str, reason: str) -> None:
    subject = ended(replace(RUN, cause=f"{RUN.cause}{details}"), []).subject

    assert subject == f"salaries failed: Job process: {reason}"


def test_run_ended_gives_the_first_error_when_no_job_failed() -> None:
    body = ended(replace(RUN, cause="pipelines/salaries.yaml has 1 problem:\n- jobs: is missing"), []).body

    assert body.startswith("Why\n  pipelines/salaries.yaml has 1 problem:\n  - jobs: is missing\n\nRun ")


@pytest.mark.parametrize("jobs", [1, 5, 6, 500])
@pytest.mark.parametrize("parameters", [0, 3, 50])
def test_run_ended_fits_on_a_screen_and_names_the_result_when_the_run_succeeded(jobs: int, parameters: int) -> None:
    run = replace(SUCCEEDED, parameters={f"name{number}": number for number in range(parameters)})
    names = [replace(JOB, name=f"job-{n}", position=n, state="SUCCESS", state_details=None) for n in range(jobs)]

    told = ended(run, names)

    assert told.subject == "salaries succeeded"
    assert "Result\n  s3://bucket/output/salaries/salaries-1/\n" in told.body
    assert "Why" not in told.body
    assert len(told.body.splitlines()) <= 24
    assert too_wide(told.body) == []


def test_run_ended_says_that_it_was_late_when_it_took_longer_than_expected() -> None:
    assert "Duration   1 min 06 s (expected: 1 min)\n" in ended(replace(SUCCEEDED, expected_minutes=1)).body
    assert "expected" not in ended(replace(SUCCEEDED, expected_minutes=2)).body


def test_links_lead_to_the_log_group_when_the_job_logs_to_cloudwatch() -> None:
    monitoring = {"cloudWatchLoggingConfiguration": {"enabled": True, "logGroupName": "/emr/salaries"}}
    logging = replace(JOB, request={"configurationOverrides": {"monitoringConfiguration": monitoring}})

    assert "Log group /emr/salaries\n  https://" in ended(jobs=[logging]).body
    assert "Log group" not in ended().body


@pytest.mark.parametrize(
    ("partition", "region", "domain"),
    [
        ("aws", "eu-west-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_links_are_those_of_the_partition_and_region_when_it_is_another(
    partition: str, region: str, domain: str
) -> None:
    arn = f"arn:{partition}:states:{region}:123456789012:execution:emr-pipelines-pipeline:salaries-1"
    console = Console.of_arn(arn)

    assert console.execution(arn) == (
        f"https://{region}.{domain}/states/home?region={region}#/v2/executions/details/{arn}"
    )
    assert console.emr_serverless() == f"https://{region}.{domain}/emr/home?region={region}#/serverless"
    assert console.log_group("/aws/emr-serverless") == (
        f"https://{region}.{domain}/cloudwatch/home?region={region}"
        "#logsV2:log-groups/log-group/$252Faws$252Femr-serverless"
    )
    assert console.log_groups("/aws/lambda/") == (
        f"https://{region}.{domain}/cloudwatch/home?region={region}"
        "#logsV2:log-groups$3FlogGroupNameFilter$3D$252Faws$252Flambda$252F"
    )


def test_run_started_says_what_started_it_when_it_starts() -> None:
    told = run_started(RUNNING, [JOB], "emr-pipelines")

    assert told.subject == "salaries started: upload s3://bucket/landing/salaries/a.csv"
    assert "  emrp watch salaries-1\n" in told.body
    assert told.attributes == {"pipeline": "salaries", "job": ["process"], "state": "STARTED", "severity": "INFO"}


def test_run_overdue_names_the_jobs_that_have_not_ended_when_it_is_late() -> None:
    told = run_overdue(RUNNING, [replace(JOB, state="SUCCESS"), replace(JOB, name="slow", state="RUNNING")], "s")

    assert re.fullmatch(r"salaries has run for .+, expected were 30 min", told.subject)
    assert "slow                               RUNNING" in told.body
    assert "process" not in told.body
    assert told.attributes["job"] == ["slow"]


def test_job_retried_says_why_and_which_attempt_comes_when_an_attempt_failed() -> None:
    told = job_retried(RUNNING, JOB, {"attempt": 2, "reason": "Job failed. ExitCode: 1."}, "emr-pipelines", LOG)

    assert told.subject == "salaries retries process: Job failed. ExitCode: 1."
    assert told.body.startswith("Why attempt 2 of process failed\n  Job failed. ExitCode: 1.\n\nEMR makes attempt 3")
    assert "  | Traceback (most recent call last):\n" in told.body


def test_collected_names_each_of_them_when_there_were_many() -> None:
    held = [{"line": f"salaries-{n}: it failed", "jobs": [f"job{n % 2}"], "topics": ["t"]} for n in range(500)]

    told = collected("salaries", "FAILED", held)

    assert told.subject == "salaries: 500 more notifications of state FAILED"
    assert all(f"  - salaries-{n}: it failed\n" in told.body for n in range(500))
    assert told.attributes == {"pipeline": "salaries", "job": ["job0", "job1"], "state": "FAILED", "severity": "ERROR"}
    assert told.topics == ("t",)


def test_file_rejected_says_how_much_it_leaves_out_when_there_are_many_problems() -> None:
    error = InvalidPipelineError("pipelines/a.yaml", [Problem(f"jobs[{index}]", "is bad") for index in range(120)])

    body = file_rejected(pipeline_file_rejected("a", "v1", error).detail).body

    assert "jobs[99]: is bad\n  ... and 20 more\n" in body


def test_trigger_rejected_gives_sns_what_it_takes_when_the_message_is_strange() -> None:
    error = InvalidTriggerError("it is not JSON", "unknown", "\x00" * 3000)
    told = trigger_rejected(domain_event.trigger_rejected("\x00" * 300_000, error).detail)

    assert told.pipeline.isascii()
    assert told.pipeline.isprintable()
    assert len(told.body) < 10_000


# Words and lines as people and programs write them, and what nobody should.
TEXTS = st.text(max_size=300) | st.lists(st.sampled_from(["word", "\n", "\t", "\x1b[1m", "s3://b/k", "{{ x }}"])).map(
    " ".join
)


@given(TEXTS, st.sampled_from(["FAILED", "SUCCEEDED", "CANCELLED", "TIMED_OUT"]))
def test_run_ended_gives_sns_a_subject_that_it_takes_when_the_cause_is_anything(cause: str, state: str) -> None:
    subject = ended(replace(RUN, cause=cause or None, state=state), []).subject

    assert 0 < len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()


@given(TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=60))
def test_run_ended_is_plain_text_of_a_bounded_size_when_anybody_has_written_it(
    reason: str, log: str, uri: str, parameters: dict[str, Any]
) -> None:
    run = replace(RUN, cause=reason, parameters=parameters, trigger={"type": "upload", "uri": uri})

    told = ended(run, [replace(JOB, state_details=reason)], log)

    assert all(letter.isprintable() or letter == "\n" for letter in told.body)
    assert "\n\n\n" not in told.body
    assert too_wide(told.body) == []
    assert len(told.body) < 80_000
    assert json.loads(told.document)["metadata"]["threadId"] == "salaries-1"


@given(TEXTS)
def test_log_lines_are_few_and_narrow_when_a_program_has_printed_anything(log: str) -> None:
    lines = log_lines(log * 50).splitlines()

    assert len(lines) <= 15 * 3
    assert all(len(line) <= 72 for line in lines)


def test_document_is_what_a_chat_client_takes_when_the_reason_has_markup() -> None:
    document = json.loads(ended(replace(RUN, cause="Job process: <!channel> & `x`")).document)

    assert (document["version"], document["source"]) == ("1.0", "custom")
    assert document["content"]["textType"] == "client-markdown"
    assert document["content"]["title"] == "salaries failed: Job process: &lt;!channel&gt; &amp; `x`"
    assert document["content"]["nextSteps"] == ["Mend the cause, then `emrp repair salaries-1`"]
    assert document["metadata"]["additionalContext"] == {
        "pipeline": "salaries", "run": "salaries-1", "jobs": "process", "state": "FAILED", "severity": "ERROR",
    }  # fmt: skip
