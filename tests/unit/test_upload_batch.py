"""Files get into exactly one batch, whatever overlaps, comes twice or dies."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import ConditionBase
from emr_pipelines.gateways.manifests import Manifests
from emr_pipelines.gateways.pipeline_registry import Registered
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.trigger_queue import TriggerQueue
from emr_pipelines.gateways.upload_batches import UploadBatches
from emr_pipelines.start_pipeline import Started, start_pipeline
from emr_pipelines.triggers import Upload, UploadRule, parse_message
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.unit.conftest import example_event
from tests.unit.fakes import FakeDomainEvents, FakeStepFunctions
from tests.unit.interleaving import Invocation, Killed, Stepwise
from tests.unit.simulation.memory_table import MemoryTable

PIPELINE = "p"
MANY_STEPS = 5_000


def message_for(number: int) -> str:
    """Return the message that the upload of a file leads to."""
    body: dict[str, Any] = json.loads(example_event("start_pipeline.s3_object_created")["Records"][0]["body"])
    body["detail"]["object"] |= {"key": f"landing/{number}.csv", "sequencer": f"{number:04}"}
    body["time"] = f"2026-11-20T{number // 60:02}:{number % 60:02}:00Z"
    return json.dumps(body)


def registered(max_files: int, max_wait_seconds: int = 60) -> list[Registered]:
    """Return the pipeline that collects them."""
    batch = {"maxFiles": max_files, "maxWaitSeconds": max_wait_seconds}
    return [Registered(PIPELINE, "file", "v1", "", {"uploads": [{"prefix": "landing/", "suffix": "", "batch": batch}]})]


class Table(MemoryTable):
    """Lists waiting files: as in DynamoDB, a limit is that of a page, and more may come."""

    def query(self, condition: ConditionBase, **arguments: Any) -> list[dict[str, Any]]:
        assert arguments.keys() == {"Limit", "ProjectionExpression"}
        return super().query(condition)


@dataclass
class FakeQueue(TriggerQueue):
    """Remembers what was sent for later."""

    sent: list[tuple[str, int]] = field(default_factory=list)

    def send_later(self, message: dict[str, Any], delay_seconds: int) -> None:
        self.sent.append((json.dumps(message), delay_seconds))

    def reject(self, body: str, *, source: str, reason: str) -> None:
        raise AssertionError(reason)


@dataclass
class FakeManifests(Manifests):
    """Remembers the files of each run, and that they never change."""

    files: dict[str, list[Upload]] = field(default_factory=dict)

    def put(self, pipeline: str, run_id: str, uploads: list[Upload]) -> str:
        assert self.files.setdefault(run_id, uploads) == uploads
        return f"s3://bucket/{run_id}"


class World:
    """Everything around the function, in memory."""

    def __init__(self, max_files: int) -> None:
        self.pipelines = registered(max_files)
        self.table = Table()
        self.batches = UploadBatches.__new__(UploadBatches)
        self.batches._table = Stepwise(self.table)  # type: ignore[assignment]
        self.queue = FakeQueue()
        self.manifests = FakeManifests()
        self.step_functions = FakeStepFunctions()

    def handle(self, body: str) -> Started:
        """Handle a message as the function does."""
        return start_pipeline(
            body,
            self.pipelines,
            record=RunRecord.__new__(RunRecord),
            batches=self.batches,
            manifests=Stepwise(self.manifests),  # type: ignore[arg-type]
            queue=Stepwise(self.queue),  # type: ignore[arg-type]
            events=FakeDomainEvents(),
            step_functions=Stepwise(self.step_functions),  # type: ignore[arg-type]
            state_machine_arn="arn",
        )


@settings(max_examples=150)
@given(st.data(), st.integers(1, 6), st.integers(1, 4), st.integers(0, 4))
def test_file_gets_into_exactly_one_batch_when_invocations_overlap_and_die(
    data: st.DataObject, files: int, max_files: int, deaths: int
) -> None:
    world = World(max_files)
    repeated = data.draw(st.lists(st.integers(1, files), max_size=3))
    messages = [message_for(number) for number in [*range(1, files + 1), *repeated]]
    running: list[tuple[str, Invocation]] = []
    delivered = turn = 0
    steps = 0
    while messages or running or len(world.queue.sent) > delivered:
        steps += 1
        assert steps < MANY_STEPS
        messages += [body for body, _ in world.queue.sent[delivered:]]
        delivered = len(world.queue.sent)
        while messages and len(running) < 4:
            body = messages.pop(data.draw(st.integers(0, len(messages) - 1)))
            running.append((body, Invocation(lambda body=body: world.handle(body))))  # type: ignore[misc]
        if data.draw(st.integers(0, 4)) == 0:  # mostly one goes on, so that it may overtake the others by far
            turn = data.draw(st.integers(0, 3))
        body, invocation = running[turn % len(running)]
        kill = deaths > 0 and data.draw(st.integers(0, 9)) == 0
        deaths -= kill
        invocation.advance(kill=kill)
        if invocation.ended:
            running.remove((body, invocation))
            assert invocation.error is None or isinstance(invocation.error, Killed), invocation.error
            if invocation.killed:
                messages.append(body)

    started = [world.manifests.files[name] for name in world.step_functions.executions]
    event(f"{len(started)} batches")
    assert Counter(upload.key for batch in started for upload in batch) == Counter(
        f"landing/{number}.csv" for number in range(1, files + 1)
    )
    assert max(map(len, started)) <= max_files
    for name, run_input in world.step_functions.executions.items():
        assert run_input["trigger"]["files"] == len(world.manifests.files[name])
    left = [key for key in world.table._items if key[0].startswith("WAITING#") and key[1] != "BATCH"]
    assert left == []


class TestOnDynamoDb:
    """The same with the gateways themselves."""

    @pytest.fixture(autouse=True)
    def prepare(self, record: RunRecord, s3: Any) -> None:
        sqs = boto3.client("sqs")
        self.queue_url = sqs.create_queue(QueueName="triggers")["QueueUrl"]
        self.step_functions = FakeStepFunctions()
        self.gateways: dict[str, Any] = {
            "record": record,
            "batches": UploadBatches("runs"),
            "manifests": Manifests("bucket"),
            "queue": TriggerQueue(self.queue_url, self.queue_url),
            "events": FakeDomainEvents(),
        }

    def handle(self, body: str, max_files: int) -> Started:
        return start_pipeline(
            body,
            registered(max_files, max_wait_seconds=0),
            step_functions=self.step_functions,
            state_machine_arn="arn",
            **self.gateways,
        )

    def left_for_later(self) -> list[str]:
        answer = boto3.client("sqs").receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]

    def manifests(self) -> list[list[dict[str, Any]]]:
        keys = [
            run["trigger"]["manifestUri"].removeprefix("s3://bucket/")
            for run in self.step_functions.executions.values()
        ]
        s3 = boto3.client("s3")
        return [json.load(s3.get_object(Bucket="bucket", Key=key)["Body"]) for key in keys]

    def test_batch_starts_at_once_when_it_is_full(self) -> None:
        results = [self.handle(message_for(number), 3) for number in range(7)]

        assert [len(result.started) for result in results] == [0, 0, 1, 0, 0, 1, 0]
        assert not any(result.ignored for result in results)
        assert [[file["uri"] for file in files] for files in self.manifests()] == [
            [f"s3://bucket/landing/{number}.csv" for number in numbers] for numbers in ((0, 1, 2), (3, 4, 5))
        ]
        (run_id, run_input), _ = self.step_functions.executions.items()
        assert run_input["trigger"] == {
            "type": "batch",
            "manifestUri": f"s3://bucket/output/p/_manifests/{run_id}.json",
            "files": 3,
            "prefix": "landing/",
            "suffix": "",
        }

    def test_batch_starts_with_what_there_is_when_a_file_has_waited_long_enough(self) -> None:
        for number in range(3):
            self.handle(message_for(number), 100)
        first, *others = self.left_for_later()

        assert len(self.handle(first, 100).started) == 1
        assert [self.handle(other, 100).started for other in others] == [[], []]
        ((one, *_),) = self.manifests()
        assert one == {
            "uri": "s3://bucket/landing/0.csv",
            "size": 182044,
            "versionId": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
            "time": "2026-11-20T00:00:00Z",
        }

    def test_file_is_in_one_batch_when_it_comes_again_after_that(self) -> None:
        for _ in range(2):
            self.handle(message_for(1), 1)
        for later in self.left_for_later():
            self.handle(later, 1)

        assert len(self.step_functions.executions) == 1

    def test_batch_has_all_its_files_when_they_are_more_than_dynamodb_takes_at_once(self) -> None:
        collection = UploadRule("landing/", "", 105).collection(PIPELINE)
        assert collection
        for number in range(104):
            self.gateways["batches"].add(collection.name, parse_message(message_for(number)))
        self.handle(message_for(104), 105)

        assert [len(files) for files in self.manifests()] == [105]

    def test_flush_of_the_example_finds_its_file_when_it_waits(self) -> None:
        upload, flush = (
            example_event(f"start_pipeline.{name}")["Records"][0]["body"]
            for name in ("s3_object_created", "batch_flush")
        )
        rule = {"prefix": "landing/salaries/", "suffix": ".csv", "batch": {"maxFiles": 100, "maxWaitSeconds": 60}}
        salaries = [Registered("salaries", "file", "v1", "", {"uploads": [rule]})]
        results = [
            start_pipeline(body, salaries, step_functions=self.step_functions, state_machine_arn="arn", **self.gateways)
            for body in (upload, flush)
        ]

        assert [len(result.started) for result in results] == [0, 1]
