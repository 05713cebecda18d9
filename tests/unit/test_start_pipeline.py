"""A message of the trigger queue starts the runs that it asks for, each once; what never can start one is rejected."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from emr_pipelines.errors import RequestRefusedError, TransientError
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Run

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeDomainEvents, FakeStepFunctions

Invoke = Callable[..., Any]
Triggers = dict[str, Any]

EVERYTHING: Triggers = {"uploads": [{"prefix": "landing/salaries/", "suffix": ".csv"}], "messages": True}
EXAMPLES = ["s3_object_created", "schedule", "sns_message", "event"]


def batch_of(*bodies: object) -> dict[str, Any]:
    """Return the event by which SQS delivers messages."""
    event = example_event("start_pipeline.s3_object_created")
    (record,) = event["Records"]
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {"Records": [record | {"messageId": f"m{number}", "body": text} for number, text in enumerate(texts)]}


def body_of(example: str) -> dict[str, Any]:
    """Return the message of an example as somebody sent it."""
    body: dict[str, Any] = json.loads(example_event(f"start_pipeline.{example}")["Records"][0]["body"])
    return body


def uploaded(key: str, **changes: str) -> dict[str, Any]:
    """Return the message that an upload of `key` leads to."""
    body = body_of("s3_object_created")
    body["detail"]["object"] |= {"key": key, **changes}
    return body


def published(message: object) -> dict[str, Any]:
    """Return what SNS makes of a message."""
    return {**body_of("sns_message"), "Message": message if isinstance(message, str) else json.dumps(message)}


def happened(event: dict[str, Any], pipeline: str = "salaries") -> dict[str, Any]:
    """Return what the rule of a pipeline makes of an event."""
    return {"pipeline": pipeline, "event": {"id": "e1", **event}, "parameters": {}}


class Pipelines:
    """Registers pipelines that do the same as salaries when something else happens."""

    def __init__(self, registry: PipelineRegistry) -> None:
        self._registry = registry
        known = registry.get("salaries")
        assert known
        self._salaries = known

    def __call__(self, **triggers: Triggers) -> None:
        for name, data in triggers.items():
            changed = {**self._salaries.data, "name": name, "triggers": data}
            self._registry.put(replace(self._salaries, name=name, data=changed))


class Rejected:
    """What the queue for rejected triggers has."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs")
        for name in ("TRIGGER_QUEUE_URL", "REJECTED_TRIGGER_QUEUE_URL"):
            self._sqs.create_queue(QueueName=os.environ[name].rpartition("/")[2])

    def take(self) -> list[tuple[str, dict[str, str]]]:
        """Return body and attributes of every message."""
        url = os.environ["REJECTED_TRIGGER_QUEUE_URL"]
        answer = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return [
            (
                message["Body"],
                {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()},
            )
            for message in answer.get("Messages", [])
        ]


@pytest.fixture
def pipelines(registry: PipelineRegistry) -> Pipelines:
    return Pipelines(registry)


@pytest.fixture(autouse=True)
def rejected_triggers(aws: None) -> Rejected:
    return Rejected()


@pytest.fixture
def salaries(pipelines: Pipelines) -> None:
    pipelines(salaries=EVERYTHING)


@pytest.mark.usefixtures("salaries")
class TestRuns:
    """Each cause leads to one run."""

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_start_pipeline_starts_one_run_when_a_message_comes_ten_times(
        self, invoke: Invoke, step_functions: FakeStepFunctions, example: str
    ) -> None:
        for _ in range(10):
            assert invoke("start_pipeline", example) == {"batchItemFailures": []}

        ((name, run_input),) = step_functions.executions.items()
        assert name.startswith("salaries-")
        assert run_input["pipeline"] == "salaries"

    def test_start_pipeline_gives_every_message_a_run_of_its_own_when_they_come_together(
        self, invoke: Invoke, step_functions: FakeStepFunctions
    ) -> None:
        assert invoke("start_pipeline", batch_of(*map(body_of, EXAMPLES))) == {"batchItemFailures": []}

        types = [run_input["trigger"]["type"] for run_input in step_functions.executions.values()]
        assert types == ["upload", "schedule", "message", "event"]
        assert step_functions.executions["salaries-" + "67e7af3d91f9d5c000ecd6ce"]["trigger"]["uri"] == (
            "s3://bucket/landing/salaries/2026-11.csv"
        )

    def test_start_pipeline_starts_another_run_when_a_new_version_is_uploaded(
        self, invoke: Invoke, step_functions: FakeStepFunctions
    ) -> None:
        invoke("start_pipeline", "s3_object_created")
        invoke("start_pipeline", batch_of(uploaded("landing/salaries/2026-11.csv", sequencer="00617F08299329D190")))

        assert len(step_functions.executions) == 2

    @pytest.mark.parametrize("key", ["landing/other/a.csv", "landing/salaries/a.txt", "landing/salaries/.csv/"])
    def test_start_pipeline_counts_an_upload_when_no_pipeline_wants_it(
        self, invoke: Invoke, step_functions: FakeStepFunctions, capsys: pytest.CaptureFixture[str], key: str
    ) -> None:
        assert invoke("start_pipeline", batch_of(uploaded(key))) == {"batchItemFailures": []}

        assert step_functions.executions == {}
        assert '"UploadsIgnored":[1.0]' in capsys.readouterr().out

    def test_start_pipeline_starts_one_run_of_each_pipeline_when_several_want_an_upload(
        self, invoke: Invoke, step_functions: FakeStepFunctions, pipelines: Pipelines
    ) -> None:
        pipelines(
            every={"uploads": [{"prefix": "landing/", "suffix": ""}, {"prefix": "landing/salaries/", "suffix": ""}]},
            other={"uploads": [{"prefix": "landing/other/", "suffix": ""}]},
            manual={},
        )
        invoke("start_pipeline", "s3_object_created")

        assert sorted(run["pipeline"] for run in step_functions.executions.values()) == ["every", "salaries"]

    def test_start_pipeline_reports_only_the_message_that_failed_when_step_functions_throttles(
        self, invoke: Invoke, step_functions: FakeStepFunctions, rejected_triggers: Rejected
    ) -> None:
        step_functions.failure = TransientError("StartExecution: ThrottlingException")

        answer = invoke("start_pipeline", batch_of(body_of("schedule"), uploaded("landing/other/a.csv")))

        assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
        assert rejected_triggers.take() == []

    def test_start_pipeline_sees_a_pipeline_when_it_was_registered_after_the_first_message(
        self, invoke: Invoke, step_functions: FakeStepFunctions, pipelines: Pipelines
    ) -> None:
        invoke("start_pipeline", batch_of(uploaded("landing/new/a.csv")))
        pipelines(new={"uploads": [{"prefix": "landing/new/", "suffix": ""}]})
        invoke("start_pipeline", batch_of(uploaded("landing/new/a.csv")))

        assert len(step_functions.executions) == 1


@pytest.mark.usefixtures("salaries")
class TestRejected:
    """A message that can never start a run is kept with the reason, and people are told once."""

    @pytest.mark.parametrize(
        ("body", "source", "reason"),
        [
            ("garbage", "unknown", "it is not JSON"),
            (published("garbage"), "message", "it is not JSON"),
            (published({"pipeline": "salary"}), "message", 'There is no pipeline "salary". Registered pipelines:'),
            (published({"pipeline": "silent"}), "message", 'the pipeline "silent" takes no messages'),
            (published({"pipeline": "salaries", "parameters": "top"}), "message", 'must be a mapping, not "top"'),
            (
                {"schedule": {"pipeline": "retired", "scheduledTime": "2026-11-20T14:00:00Z", "digest": "d"}},
                "schedule",
                'There is no pipeline "retired"',
            ),
            (happened({}, "retired"), "event", 'There is no pipeline "retired"'),
        ],
    )
    def test_start_pipeline_keeps_a_message_with_the_reason_when_it_can_never_start_a_run(
        self,
        invoke: Invoke, step_functions: FakeStepFunctions, events: FakeDomainEvents, pipelines: Pipelines,
        rejected_triggers: Rejected, body: object, source: str, reason: str,
    ) -> None:  # fmt: skip
        pipelines(silent={"messages": False})
        sqs_event = batch_of(body)

        assert invoke("start_pipeline", sqs_event) == {"batchItemFailures": []}

        ((kept, attributes),) = rejected_triggers.take()
        (event,) = events.published
        assert kept == sqs_event["Records"][0]["body"]
        assert attributes["source"] == source
        assert reason in attributes["reason"]
        assert (event.detail_type, event.detail["reason"]) == ("Trigger Rejected", attributes["reason"])
        assert step_functions.executions == {}

    def test_start_pipeline_publishes_the_same_event_when_a_rejected_message_comes_again(
        self, invoke: Invoke, events: FakeDomainEvents
    ) -> None:
        for text in ("garbage", "garbage", "other garbage"):
            invoke("start_pipeline", batch_of(text))

        first, again, other = (event.detail["id"] for event in events.published)
        assert first == again != other

    def test_start_pipeline_rejects_a_message_when_step_functions_refuses_its_input(
        self, invoke: Invoke, step_functions: FakeStepFunctions, rejected_triggers: Rejected
    ) -> None:
        step_functions.failure = RequestRefusedError("StartExecution", "InvalidExecutionInput", "too long")

        assert invoke("start_pipeline", "sns_message") == {"batchItemFailures": []}
        ((_, attributes),) = rejected_triggers.take()
        assert attributes["reason"] == "StartExecution was refused (InvalidExecutionInput): too long"

    def test_start_pipeline_lets_a_message_come_again_when_it_may_not_start_a_run(
        self, invoke: Invoke, step_functions: FakeStepFunctions, rejected_triggers: Rejected
    ) -> None:
        step_functions.failure = RequestRefusedError("StartExecution", "AccessDeniedException", "no")
        events = batch_of(body_of("schedule"), uploaded("landing/other/a.csv"))

        assert invoke("start_pipeline", events) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
        assert rejected_triggers.take() == []

    def test_start_pipeline_keeps_the_message_in_the_queue_when_nobody_could_be_told(
        self, invoke: Invoke, events: FakeDomainEvents, rejected_triggers: Rejected
    ) -> None:
        events.failure = TransientError("PutEvents: ThrottlingException")
        answer = invoke("start_pipeline", batch_of("garbage", uploaded("landing/other/a.csv")))

        assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
        assert rejected_triggers.take() == []

    def test_start_pipeline_gives_a_reason_that_sqs_takes_when_the_message_is_strange(
        self, invoke: Invoke, rejected_triggers: Rejected
    ) -> None:
        invoke("start_pipeline", batch_of(published({"pipeline": "\x00\x1b\n" + "x" * 5000})))

        ((_, attributes),) = rejected_triggers.take()
        assert attributes["reason"].startswith('There is no pipeline "   xxx')
        assert len(attributes["reason"]) == 1000


@pytest.mark.usefixtures("salaries")
class TestLoops:
    """Pipelines may start each other, but not in a circle."""

    def ended(self, *chain: str) -> dict[str, Any]:
        return {"source": "emr-pipelines", "detail": {"pipeline": chain[-1], "run": "r", "chain": [*chain]}}

    def test_start_pipeline_passes_the_chain_on_when_another_pipeline_ended(
        self, invoke: Invoke, step_functions: FakeStepFunctions
    ) -> None:
        invoke("start_pipeline", batch_of(happened(self.ended("payroll", "bonus"))))

        (run_input,) = step_functions.executions.values()
        assert run_input["trigger"]["chain"] == ["payroll", "bonus"]

    @pytest.mark.parametrize(
        ("chain", "loop"),
        [
            (["salaries"], "salaries -> salaries"),
            (["salaries", "payroll"], "salaries -> payroll -> salaries"),
            (["first", "salaries", "payroll"], "salaries -> payroll -> salaries"),
        ],
    )
    def test_start_pipeline_spells_the_loop_out_when_it_refuses_one(
        self,
        invoke: Invoke, step_functions: FakeStepFunctions, rejected_triggers: Rejected, chain: list[str], loop: str,
    ) -> None:  # fmt: skip
        invoke("start_pipeline", batch_of(happened(self.ended(*chain))))

        ((_, attributes),) = rejected_triggers.take()
        assert attributes["reason"] == f"pipelines would start each other for ever: {loop}"
        assert step_functions.executions == {}

    @pytest.mark.parametrize(
        "event",
        [
            {"source": "emr-pipelines", "detail": {"run": "r1", "job": "process"}},
            {"source": "aws.states", "detail": {"name": "r1"}},
            {"source": "aws.emr-serverless", "detail": {"jobRunId": "run1"}},
            {"source": "aws.s3", "detail": {"object": {"key": "output/bonus/r1/_SUCCESS"}}},
        ],
    )
    def test_start_pipeline_finds_the_loop_in_the_record_when_the_event_does_not_tell(
        self, invoke: Invoke, record: RunRecord, rejected_triggers: Rejected, submitted: object, event: dict[str, Any]
    ) -> None:
        run = Run.begin("r1", "arn", {"pipeline": "bonus", "trigger": {"type": "event", "chain": ["salaries"]}})
        record.create_run(run)
        invoke("start_pipeline", batch_of(happened(event)))

        ((_, attributes),) = rejected_triggers.take()
        loop = "salaries -> salaries" if "jobRunId" in event["detail"] else "salaries -> bonus -> salaries"
        assert attributes["reason"].endswith(loop)

    @pytest.mark.parametrize(
        "event",
        [
            {"source": "my.system", "detail": {"chain": ["salaries"], "run": RUN_ID}},
            {"source": "emr-pipelines", "detail": {"pipeline": "salaries"}},
            {"source": "aws.states", "detail": {"name": "of-somebody-else"}},
            {"source": "aws.emr-serverless", "detail": {"jobRunId": "of-somebody-else"}},
            {"source": "aws.s3", "detail": {"object": {"key": "output/x"}}},
            {"source": "aws.s3", "detail": {"object": {"key": f"landing/salaries/{RUN_ID}"}}},
            {},
        ],
    )
    def test_start_pipeline_starts_a_run_when_no_run_is_behind_an_event(
        self, invoke: Invoke, step_functions: FakeStepFunctions, planned: str, event: dict[str, Any]
    ) -> None:
        invoke("start_pipeline", batch_of(happened(event)))

        (run_input,) = step_functions.executions.values()
        assert run_input["trigger"]["chain"] == []
