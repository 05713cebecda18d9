"""The messages of the trigger queue: which can start a run, and that no two causes have the same run."""

import json
from typing import Any

import pytest
from emr_pipelines.errors import InvalidTriggerError
from emr_pipelines.trigger_messages import schedule_message
from emr_pipelines.triggers import Collection, Flush, Request, Upload, UploadRule, parse_message, run_name
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import example_event


def body_of(example: str) -> dict[str, Any]:
    """Return the message of an example as somebody sent it."""
    body: dict[str, Any] = json.loads(example_event(f"start_pipeline.{example}")["Records"][0]["body"])
    return body


def request_for(body: object) -> Request:
    """Read a message that names its pipeline."""
    request = parse_message(json.dumps(body))
    assert isinstance(request, Request)
    return request


def published(message: object) -> dict[str, Any]:
    """Return what SNS makes of a message."""
    return {**body_of("sns_message"), "Message": message if isinstance(message, str) else json.dumps(message)}


def upload(key: str, **changes: Any) -> Upload:
    """Return an upload of `key`."""
    return Upload(**{"bucket": "b", "key": key, "size": 1, "version_id": "", "sequencer": "", "time": "", **changes})


words = st.text('a"/', max_size=2)  # few, so that some are the same
uploads = st.builds(upload, st.text(min_size=1, max_size=8), bucket=words, version_id=words, sequencer=words)
ticks = st.builds(
    lambda expression, parameters, time: request_for(
        schedule_message(
            "p", 0, {"expression": expression, "timezone": "UTC", "parameters": parameters}, f"2026-11-{time:02}T09:00Z"
        )
    ),
    words,
    st.dictionaries(words, st.integers(), max_size=1),
    st.integers(1, 30),
)
messages = st.builds(
    lambda identity, top: request_for(
        {**published({"pipeline": "p", "parameters": {"top": top}}), "MessageId": identity}
    ),
    words,
    st.integers(),
)
events = st.builds(lambda identity: request_for({"pipeline": "p", "event": {"id": identity}}), words)
batches = st.builds(
    lambda files: Request(pipeline="p", trigger={}, cause=("batch", "p", *files)), st.lists(words, max_size=3)
)
causes = st.one_of(uploads, ticks, messages, events, batches)


@given(causes, causes)
def test_run_name_is_the_same_only_when_the_cause_is(first: Upload | Request, second: Upload | Request) -> None:
    same = run_name("p", first.cause) == run_name("p", second.cause)

    assert same == (first.cause == second.cause)
    assert run_name("p", first.cause) == run_name("p", first.cause)


@given(causes, causes)
def test_cause_is_another_when_the_kind_is(first: Upload | Request, second: Upload | Request) -> None:
    if first.cause[0] != second.cause[0]:
        assert run_name("p", first.cause) != run_name("p", second.cause)
    assert run_name("p", first.cause) != run_name("q", first.cause)


@given(uploads, uploads)
def test_upload_is_another_cause_when_bucket_key_version_or_sequencer_is(first: Upload, second: Upload) -> None:
    def identity(one: Upload) -> tuple[str, ...]:
        return one.bucket, one.key, one.version_id, one.sequencer

    assert (first.cause == second.cause) == (identity(first) == identity(second))


@given(st.text(), st.sampled_from(["upload", "batch"]))
def test_run_name_is_one_that_step_functions_takes(text: str, kind: str) -> None:
    name = run_name("p" * 48, (kind, text))

    assert len(name) <= 80
    assert set(name) <= set("p-0123456789abcdef")


def test_tick_is_the_same_cause_when_its_time_is_written_differently() -> None:
    tick = body_of("schedule")
    elsewhere = {**tick, "schedule": {**tick["schedule"], "scheduledTime": "2026-11-20T15:00:00+01:00"}}

    assert request_for(elsewhere).run_name == request_for(tick).run_name
    assert request_for(elsewhere).trigger["scheduledTime"] == "2026-11-20T14:00:00Z"


def test_tick_is_another_cause_when_time_or_entry_is_another() -> None:
    entry = {"expression": "rate(1 hour)", "timezone": "UTC", "parameters": {}}
    names = {
        request_for(schedule_message("p", 0, {**entry, **changes}, time)).run_name
        for changes in ({}, {"parameters": {"top": 1}}, {"timezone": "Europe/Dublin"}, {"expression": "rate(2 hours)"})
        for time in ("2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z")
    }

    assert len(names) == 8


@pytest.mark.parametrize(
    ("example", "trigger"),
    [
        (
            "schedule",
            {"type": "schedule", "scheduledTime": "2026-11-20T14:00:00Z", "expression": "cron(0 14 ? * FRI *)"},
        ),
        (
            "sns_message",
            {
                "type": "message",
                "messageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
                "time": "2026-11-20T14:00:00.000Z",
                "topicArn": "arn:aws:sns:us-east-1:123456789012:emr-pipelines-TriggerTopic",
            },
        ),
    ],
)
def test_parse_message_reads_what_templates_see_when_it_names_a_pipeline(example: str, trigger: dict[str, Any]) -> None:
    request = request_for(body_of(example))

    assert request.trigger == trigger
    assert request.run_input == {"pipeline": "salaries", "trigger": trigger, "parameters": {"top": 5}}


def test_parse_message_reads_a_flush_when_it_was_written_by_one() -> None:
    flush = Flush(Collection(pipeline="p", prefix="a/", suffix=".csv", max_files=7), "FILE#1")

    assert parse_message(json.dumps(flush.as_message())) == flush


def without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """Return a message in which something is missing."""
    first, *rest = path
    if rest:
        return {**body, first: without(body[first], *rest)}
    return {name: value for name, value in body.items() if name != first}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"pipeline": NaN}', "NaN is not a value"),
        ("[" * 100_000, "not JSON"),
        ("[]", "none of the messages"),
        ('"text"', "none of the messages"),
        ("{}", "none of the messages"),
        ('{"pipeline": "salaries"}', "none of the messages"),
        ({**body_of("s3_object_created"), "detail-type": "Object Deleted"}, "none of the messages"),
        (without(body_of("s3_object_created"), "detail", "object", "key"), "none of the messages"),
        (without(body_of("schedule"), "schedule", "digest"), "none of the messages"),
        (
            {"schedule": {"pipeline": "p", "scheduledTime": "noon", "digest": "d"}},
            "scheduledTime is not a time: 'noon'",
        ),
        (without(body_of("event"), "event", "id"), "none of the messages"),
        ({**body_of("event"), "parameters": 3}, "parameters must be a mapping, not 3"),
        (published("hello"), "not JSON"),
        (published(["salaries"]), 'not like {"pipeline": "salaries"'),
        (published({"parameters": {"top": 5}}), 'not like {"pipeline": "salaries"'),
        (published({"pipeline": 3}), 'not like {"pipeline": "salaries"'),
        (published({"pipeline": "salaries", "parameters": [5]}), "parameters must be a mapping, not [5]"),
    ],
)
def test_parse_message_says_what_is_wrong_when_nothing_can_start_from_it(body: object, reason: str) -> None:
    with pytest.raises(InvalidTriggerError) as refused:
        parse_message(body if isinstance(body, str) else json.dumps(body))

    assert reason in str(refused.value)


words_of_messages = st.sampled_from(
    ["source", "detail-type", "detail", "schedule", "Type", "Message", "pipeline", "event", "batch", "parameters"]
)
documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(words_of_messages, inner),
)


@given(documents)
def test_parse_message_never_fails_otherwise_when_it_gets_garbage(document: object) -> None:
    with pytest.raises(InvalidTriggerError):
        parse_message(json.dumps(document))


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_upload_rule_matches_when_key_has_prefix_and_suffix(prefix: str, rest: str) -> None:
    one = upload(prefix + rest)

    assert UploadRule(prefix, rest).matches(one) == one.is_data
    assert not UploadRule(prefix + rest + "x").matches(one)


@pytest.mark.parametrize(
    "key",
    [
        "landing/a b+c=d&é/日本語 #1?.csv",
        "landing/" + "é" * 508,  # 1,024 bytes
        "landing/_temporary.csv",
        "landing/temporary/a.csv",
        "/landing/a.csv",
        "output.csv",
    ],
)
def test_upload_is_data_when_its_name_is_unusual(key: str) -> None:
    assert upload(key).is_data
    assert UploadRule("", key[-3:]).matches(upload(key))
    assert upload(key).as_trigger()["uri"] == f"s3://b/{key}"


@pytest.mark.parametrize(
    "key",
    [
        "landing/",
        "landing/_temporary/0/part-0.csv",
        "landing/_temporary/",
        "_temporary/a.csv",
        "landing_$folder$",
        "output/salaries/run/part-0.csv",
        "logs/a.csv",
        "jobs/a.csv",
        "pipelines/a.csv",
    ],
)
def test_upload_is_no_data_when_programs_wrote_it(key: str) -> None:
    assert not UploadRule("").matches(upload(key))


def test_upload_rule_collects_when_it_has_a_batch() -> None:
    rule = UploadRule.read({"prefix": "a/", "suffix": "", "batch": {"maxFiles": 5, "maxWaitSeconds": 9}})

    assert rule.collection("p") == Collection(pipeline="p", prefix="a/", suffix="", max_files=5)
    assert rule.max_wait_seconds == 9
    assert UploadRule.read({"prefix": "a/", "suffix": "", "batch": None}).collection("p") is None


def test_collection_has_another_name_when_pipeline_prefix_or_suffix_is_another() -> None:
    collections = [
        Collection(pipeline=pipeline, prefix=prefix, suffix=suffix, max_files=5)
        for pipeline in ("p", "q")
        for prefix, suffix in (("a/", ""), ("a/", "b"), ("a/b", ""), ("a", "/"))
    ]

    assert len({collection.name for collection in collections}) == 8
