"""Everything that starts runs, on the whole stack with IAM enforced: each cause once, and what cannot start is told."""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.local.conftest import eventually
from tests.local.deployed import ROOT, DeployedStack

SECONDS = 150.0
# Its runs fail as soon as they look for their application, so they cost nothing.
PIPELINE = """\
name: {name}
triggers: {triggers}
parameters: {{top: null, text: null}}
application: {{lifecycle: existing, applicationId: 00nosuchthing000}}
jobs:
  - name: only
    jobDriver: {{sparkSubmit: {{entryPoint: "s3://bucket/only.py"}}}}
notifications: {{on: []}}
"""
AWKWARD = [
    "with space.csv",
    "plus+and%20percent&more=1.csv",
    "naïve-日本語-🙂.csv",
    "q?#[x]{y}~'(z)!*$@,;:.csv",
    "_SUCCESS.csv",
    "temporary/_temporary.csv",
]
NO_DATA = ["folder/", "_temporary/0/part-0.csv", "a/_temporary/b.csv", "folder_$folder$"]


class Triggers:
    """The stack, with pipelines that a test makes."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self.sqs, self.sns = stack.aws.client("sqs"), stack.aws.client("sns")

    def pipeline(self, name: str | None = None, **triggers: Any) -> str:
        """Register a pipeline; returns its name."""
        name = name or f"test-{uuid4().hex[:8]}"
        self.stack.register(f"{name}.yaml", PIPELINE.format(name=name, triggers=json.dumps(triggers)))
        return name

    def collecting(self, name: str, **rule: Any) -> str:
        """Register a pipeline that is started by uploads below landing/<name>/."""
        return self.pipeline(name, uploads=[{"prefix": f"landing/{name}/", **rule}])

    def runs(self, pipeline: str, count: int) -> list[dict[str, Any]]:
        """Wait for so many runs of a pipeline and until nothing is on its way; returns the inputs of all of them."""
        eventually(lambda: len(self._executions(pipeline)) >= count, SECONDS)
        self.settled()
        states = self.stack.aws.client("stepfunctions")
        return [json.loads(states.describe_execution(executionArn=arn)["input"]) for arn in self._executions(pipeline)]

    def settled(self) -> None:
        """Wait until the trigger queue is empty."""
        names = ["", "NotVisible", "Delayed"]
        attributes = [f"ApproximateNumberOfMessages{name}" for name in names]

        def is_empty() -> bool:
            url = self.stack.stack.trigger_queue_url
            answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=attributes)
            return not any(int(count) for count in answer["Attributes"].values())

        eventually(is_empty, SECONDS)

    def rejected(self, text: str) -> list[dict[str, str]]:
        """Wait for a message with a text among the rejected; returns the attributes of all that have it."""
        found: list[dict[str, str]] = []

        def look() -> bool:
            answer = self.sqs.receive_message(
                QueueUrl=self.stack.stack.rejected_trigger_queue_url, MaxNumberOfMessages=10,
                VisibilityTimeout=0, MessageAttributeNames=["All"],
            )  # fmt: skip
            found[:] = [
                {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
                for message in answer.get("Messages", [])
                if text in message["Body"]
            ]
            return bool(found)

        eventually(look, SECONDS)
        return found

    def told(self, text: str) -> list[dict[str, str]]:
        """Wait for an e-mail with a text; returns all that have it."""
        return eventually(lambda: [email for email in self.stack.aws.inbox() if text in email["body"]], SECONDS)

    def publish(self, message: object) -> str:
        """Publish on the trigger topic; returns the id of the message."""
        text = message if isinstance(message, str) else json.dumps(message)
        answer = self.sns.publish(TopicArn=self.stack.stack.trigger_topic_arn, Message=text)
        return str(answer["MessageId"])

    def send_often(self, body: object) -> None:
        """Put the same message on the trigger queue ten times at once."""
        with ThreadPoolExecutor(10) as pool:
            for _ in range(10):
                pool.submit(
                    self.sqs.send_message, QueueUrl=self.stack.stack.trigger_queue_url, MessageBody=json.dumps(body)
                )

    def _executions(self, pipeline: str) -> list[str]:
        return [found["executionArn"] for found in self.stack.executions() if found["name"].startswith(f"{pipeline}-")]


@pytest.fixture(scope="module")
def triggers(enforced_stack: DeployedStack) -> Triggers:
    return Triggers(enforced_stack)


@pytest.fixture
def name() -> str:
    return f"test-{uuid4().hex[:8]}"


class TestUploads:
    """S3 -> EventBridge -> queue -> function."""

    def test_upload_starts_one_run_when_its_key_is_awkward(self, triggers: Triggers, name: str) -> None:
        triggers.collecting(name)
        prefix = f"landing/{name}/"
        longest = prefix + "é" * ((1024 - len(prefix)) // 2)
        for key in NO_DATA:
            triggers.stack.put(prefix + key, "")
        for key in AWKWARD:
            triggers.stack.put(prefix + key, "x")
        triggers.stack.put(longest, "x")

        runs = triggers.runs(name, len(AWKWARD) + 1)
        assert Counter(run["trigger"]["key"] for run in runs) == Counter([*(prefix + key for key in AWKWARD), longest])
        assert {run["trigger"]["bucket"] for run in runs} == {triggers.stack.stack.bucket}

    def test_upload_starts_one_run_when_it_is_multipart_or_a_copy(self, triggers: Triggers, name: str) -> None:
        triggers.collecting(name, suffix=".csv")
        s3, bucket, prefix = triggers.stack.aws.client("s3"), triggers.stack.stack.bucket, f"landing/{name}/"
        multipart = {"Bucket": bucket, "Key": f"{prefix}multi part.csv"}
        upload_id = s3.create_multipart_upload(**multipart)["UploadId"]
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(
                **multipart, UploadId=upload_id, PartNumber=number, Body=body
            )["ETag"]}
            for number, body in ((1, b"x" * 5 * 1024 * 1024), (2, b"y"))
        ]  # fmt: skip
        s3.complete_multipart_upload(**multipart, UploadId=upload_id, MultipartUpload={"Parts": parts})
        s3.copy_object(Bucket=bucket, Key=f"{prefix}copy+1.csv", CopySource=multipart)

        runs = triggers.runs(name, 2)
        assert {run["trigger"]["key"]: run["trigger"]["size"] for run in runs} == {
            multipart["Key"]: 5 * 1024 * 1024 + 1,
            f"{prefix}copy+1.csv": 5 * 1024 * 1024 + 1,
        }
        assert len(runs) == 2

    def test_upload_starts_another_run_when_it_is_a_new_version(self, triggers: Triggers, name: str) -> None:
        triggers.collecting(name)
        key = f"landing/{name}/same.csv"
        versions = {triggers.stack.put(key, body) for body in ("1", "2", "2")}

        assert {run["trigger"]["versionId"] for run in triggers.runs(name, 3)} == versions

    def test_upload_starts_a_run_of_each_pipeline_when_several_want_it(self, triggers: Triggers, name: str) -> None:
        triggers.collecting(name)
        other = triggers.pipeline(uploads=[{"prefix": f"landing/{name}/a", "suffix": ".csv"}])
        for key in ("a.csv", "a.txt"):
            triggers.stack.put(f"landing/{name}/{key}", "x")

        assert len(triggers.runs(name, 2)) == 2
        assert [run["trigger"]["key"] for run in triggers.runs(other, 1)] == [f"landing/{name}/a.csv"]

    def test_uploads_are_one_run_when_they_are_collected(self, triggers: Triggers, name: str) -> None:
        """Three at once, and the fourth when it has waited: long enough for the others to come on a busy machine."""
        triggers.collecting(name, batch={"maxFiles": 3, "maxWaitSeconds": 10})
        for number in range(4):
            triggers.stack.put(f"landing/{name}/{number} é.csv", "x" * number)

        runs = triggers.runs(name, 2)
        assert sorted(run["trigger"]["files"] for run in runs) == [1, 3]
        s3, bucket = triggers.stack.aws.client("s3"), triggers.stack.stack.bucket
        files = [
            file
            for run in runs
            for file in json.load(
                s3.get_object(
                    Bucket=bucket, Key=run["trigger"]["manifestUri"].removeprefix(f"s3://{bucket}/")
                )["Body"]
            )
        ]  # fmt: skip
        assert sorted((file["uri"], file["size"]) for file in files) == [
            (f"s3://{bucket}/landing/{name}/{number} é.csv", number) for number in range(4)
        ]


class TestMessages:
    """SNS -> queue -> function."""

    def test_message_starts_a_run_with_its_parameters_when_the_pipeline_takes_messages(
        self, triggers: Triggers, name: str
    ) -> None:
        triggers.pipeline(name, messages=True)
        message_id = triggers.publish({"pipeline": name, "parameters": {"top": 5, "text": "é"}})

        (run,) = triggers.runs(name, 1)
        assert run["parameters"] == {"top": 5, "text": "é"}
        assert (run["trigger"]["type"], run["trigger"]["messageId"]) == ("message", message_id)

    def test_message_is_kept_with_the_reason_and_told_once_when_it_can_never_start_a_run(
        self, triggers: Triggers, name: str
    ) -> None:
        triggers.pipeline(name)
        message_ids = [triggers.publish(message) for message in (f"no JSON {name}", {"pipeline": name})]

        garbage, unwanted = (triggers.rejected(message_id) for message_id in message_ids)
        assert [attributes["source"] for attributes in garbage + unwanted] == ["message", "message"]
        assert "it is not JSON" in garbage[0]["reason"]
        assert unwanted[0]["reason"].startswith(f'the pipeline "{name}" takes no messages')
        assert [len(triggers.told(message_id)) for message_id in message_ids] == [1, 1]


class TestEvents:
    """EventBridge -> rule of the pipeline -> queue -> function."""

    def test_event_starts_a_run_when_the_pipeline_listens_to_it(self, triggers: Triggers, name: str) -> None:
        triggers.pipeline(name, events=[{"pattern": {"source": [name]}, "parameters": {"top": "<b>"}}])
        entry = {"Source": name, "DetailType": 'Said "so"', "Detail": json.dumps({"text": 'é "quoted" \\ <x>\n'})}
        triggers.stack.aws.client("events").put_events(Entries=[entry])

        (run,) = triggers.runs(name, 1)
        assert run["parameters"] == {"top": "<b>"}
        assert run["trigger"]["event"]["detail"] == {"text": 'é "quoted" \\ <x>\n'}
        assert run["trigger"]["chain"] == []

    def test_loop_is_stopped_and_spelled_out_when_pipelines_start_each_other(
        self, triggers: Triggers, name: str
    ) -> None:
        def after(pipeline: str) -> dict[str, Any]:
            detail = {"pipeline": [pipeline]}
            pattern = {"source": ["emr-pipelines"], "detail-type": ["Pipeline Run Failed"], "detail": detail}
            return {"messages": True, "events": [{"pattern": pattern}]}

        first, second = f"{name}-1", f"{name}-2"
        triggers.pipeline(first, **after(second))
        triggers.pipeline(second, **after(first))
        triggers.publish({"pipeline": first})

        (rejected, *_) = triggers.rejected(first)
        assert rejected["reason"] == f"pipelines would start each other for ever: {first} -> {second} -> {first}"
        assert [run["trigger"].get("chain") for run in triggers.runs(first, 1)] == [None]
        assert [run["trigger"]["chain"] for run in triggers.runs(second, 1)] == [[first]]


def example_body(example: str) -> dict[str, Any]:
    """Return the message of an example."""
    event = json.loads((ROOT / "events" / f"start_pipeline.{example}.json").read_text())
    body: dict[str, Any] = json.loads(event["Records"][0]["body"])
    return body


def test_cause_starts_one_run_when_it_is_delivered_ten_times_at_once(triggers: Triggers, name: str) -> None:
    triggers.pipeline(name, uploads=[{"prefix": f"landing/{name}/"}], messages=True)
    upload = example_body("s3_object_created")
    upload["detail"]["object"]["key"] = f"landing/{name}/a.csv"
    tick = example_body("schedule")
    message = {**example_body("sns_message"), "Message": json.dumps({"pipeline": name})}
    for body in (
        upload,
        {**tick, "schedule": {**tick["schedule"], "pipeline": name}},
        message,
        {**example_body("event"), "pipeline": name},
    ):
        triggers.send_often(body)

    types = sorted(run["trigger"]["type"] for run in triggers.runs(name, 4))
    assert types == ["event", "message", "schedule", "upload"]


@pytest.fixture
def emrp(triggers: Triggers) -> Any:
    """The command line, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}

    def run(*arguments: str) -> Any:
        port = triggers.stack.aws.server.port
        command = [sys.executable, "-m", "emrp.cli", "--local", "--port", str(port), "--stack", "emr-pipelines"]
        ended = subprocess.run(
            [*command, *arguments, "--json"],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


def test_message_starts_its_run_when_it_is_redriven_after_the_reason_is_gone(
    triggers: Triggers, name: str, emrp: Any
) -> None:
    message_id = triggers.publish({"pipeline": name})
    triggers.rejected(message_id)
    triggers.pipeline(name, messages=True)
    (letter,) = [letter for letter in emrp("dlq", "list")["messages"] if message_id in letter["body"]]

    assert letter["reason"].startswith(f'There is no pipeline "{name}"')
    assert emrp("dlq", "redrive", letter["messageId"]) == {"sent": [letter["messageId"]], "failed": {}}
    assert len(triggers.runs(name, 1)) == 1
    assert message_id not in json.dumps(emrp("dlq", "list"))


@pytest.mark.parametrize("example", ["s3_object_created", "schedule", "sns_message", "event"])
def test_example_starts_a_run_when_it_is_sent_to_the_stack(triggers: Triggers, emrp: Any, example: str) -> None:
    triggers.pipeline("salaries", uploads=[{"prefix": "landing/salaries/"}], messages=True)

    (run,) = emrp("trigger", f"events/start_pipeline.{example}.json")["runs"]
    assert run["state"] == "STARTED"
