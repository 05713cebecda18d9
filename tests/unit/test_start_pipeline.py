"""A message of the trigger queue starts the runs that it asks for, each once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.errors import InvalidTriggerError, TransientError
from emr_pipelines.triggers import Upload, UploadRule, parse_message, upload_rules
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import example_event
from tests.unit.fakes import FakeStepFunctions

Invoke = Callable[..., Any]


def upload_message(key: str, **changes: str) -> dict[str, Any]:
    """Return the batch of one message that an upload of `key` leads to."""
    event = example_event("start_pipeline.s3_object_created")
    body = json.loads(event["Records"][0]["body"])
    body["detail"]["object"] |= {"key": key, **changes}
    event["Records"][0]["body"] = json.dumps(body)
    return event


def test_start_pipeline_starts_a_run_when_an_upload_matches(invoke: Invoke, step_functions: FakeStepFunctions) -> None:
    assert invoke("start_pipeline", "s3_object_created") == {"batchItemFailures": []}

    (run_input,) = step_functions.executions.values()
    assert run_input["pipeline"] == "salaries"
    assert run_input["trigger"]["uri"] == "s3://bucket/landing/salaries/2026-11.csv"


def test_start_pipeline_starts_one_run_when_a_message_comes_twice(
    invoke: Invoke, step_functions: FakeStepFunctions
) -> None:
    for _ in range(2):
        invoke("start_pipeline", "s3_object_created")

    assert len(step_functions.executions) == 1


def test_start_pipeline_starts_another_run_when_a_new_version_is_uploaded(
    invoke: Invoke, step_functions: FakeStepFunctions
) -> None:
    invoke("start_pipeline", "s3_object_created")
    invoke("start_pipeline", upload_message("landing/salaries/2026-11.csv", sequencer="00617F08299329D190"))

    assert len(step_functions.executions) == 2


@pytest.mark.parametrize("key", ["landing/other/a.csv", "landing/salaries/a.txt", "landing/salaries/.csv/"])
def test_start_pipeline_counts_an_upload_when_no_pipeline_matches(
    invoke: Invoke, step_functions: FakeStepFunctions, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    assert invoke("start_pipeline", upload_message(key)) == {"batchItemFailures": []}

    assert step_functions.executions == {}
    assert '"UploadsIgnored":[1.0]' in capsys.readouterr().out


def test_start_pipeline_starts_the_run_of_an_unreadable_pipeline_when_nobody_else_wants_the_upload(
    invoke: Invoke, step_functions: FakeStepFunctions, s3: Any
) -> None:
    s3.put_object(Bucket="bucket", Key="pipelines/broken.yaml", Body="name: [")

    invoke("start_pipeline", upload_message("landing/salaries/a.csv"))
    invoke("start_pipeline", upload_message("landing/other/a.csv"))

    assert [run["pipeline"] for run in step_functions.executions.values()] == ["salaries", "broken"]


def test_start_pipeline_reports_the_message_when_step_functions_throttles(
    invoke: Invoke, step_functions: FakeStepFunctions
) -> None:
    step_functions.failure = TransientError("StartExecution: ThrottlingException")
    batch = upload_message("landing/salaries/a.csv")
    ignored = upload_message("landing/other/a.csv")["Records"][0] | {"messageId": "ignored"}
    batch["Records"].append(ignored)

    answer = invoke("start_pipeline", batch)

    assert answer == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}


def test_start_pipeline_sees_a_changed_pipeline_file_when_it_is_warm(
    invoke: Invoke, step_functions: FakeStepFunctions, s3: Any
) -> None:
    invoke("start_pipeline", upload_message("landing/new/a.csv"))
    s3.put_object(Bucket="bucket", Key="pipelines/salaries.yaml", Body="triggers: {uploads: [{prefix: landing/new/}]}")
    invoke("start_pipeline", upload_message("landing/new/a.csv"))

    assert len(step_functions.executions) == 1


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"source": "aws.s3", "detail-type": "Object Created"}', '"text"'])
def test_parse_message_refuses_a_body_when_it_is_no_s3_event(body: str) -> None:
    with pytest.raises(InvalidTriggerError):
        parse_message(body)


@pytest.mark.parametrize("text", ["name: [", "- a list", "triggers: {uploads: [{suffix: .csv}]}", "triggers: 3", ""])
def test_upload_rules_are_unknown_when_the_file_cannot_be_read(text: str) -> None:
    assert upload_rules(text) is None


def test_upload_rules_are_empty_when_a_pipeline_has_none() -> None:
    assert upload_rules("name: manual") == []


uploads = st.builds(
    Upload,
    bucket=st.sampled_from(["a", "b"]),
    key=st.text(min_size=1, max_size=12),
    size=st.integers(0, 10),
    version_id=st.sampled_from(["", "v1", "v2"]),
    sequencer=st.text("0123456789ABCDEF", max_size=4),
    time=st.sampled_from(["2026-11-20T14:00:01Z", "2026-11-20T14:00:02Z"]),
)


@given(uploads, uploads)
def test_run_name_is_the_same_only_when_the_cause_is(first: Upload, second: Upload) -> None:
    def cause(upload: Upload) -> tuple[str, ...]:
        return upload.bucket, upload.key, upload.version_id, upload.sequencer

    longest = "p" * 48
    assert (first.run_name(longest) == second.run_name(longest)) == (cause(first) == cause(second))
    assert len(first.run_name(longest)) <= 80


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_upload_rule_matches_when_key_has_prefix_and_suffix(prefix: str, rest: str) -> None:
    upload = Upload("b", prefix + rest, 1, "", "", "")
    assert UploadRule(prefix, rest).matches(upload) == (not upload.key.endswith("/"))
    assert not UploadRule(prefix + rest + "x").matches(upload)
