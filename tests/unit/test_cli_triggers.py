"""`emrp trigger` sends what starts runs; `emrp dlq` shows and sends again what could not be handled."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import pytest

from emrp import dead_letters, triggers
from emrp.stack import Stack
from tests.unit.conftest import ROOT, example_event

Command = Callable[..., tuple[int, str, str]]

EXAMPLES = ["s3_object_created", "schedule", "sns_message", "event", "batch_flush"]


def path_of(example: str) -> str:
    """Return the file of an example."""
    return str(ROOT / "events" / f"{example}.json")


class Queues:
    """The queues and the topic of the stack."""

    def __init__(self) -> None:
        self.sqs = boto3.client("sqs")
        self.trigger, self.rejected, self.dead, self.events = (
            self.sqs.create_queue(QueueName=name)["QueueUrl"]
            for name in ("triggers", "rejected", "trigger-dead-letters", "event-dead-letters")
        )
        self.topic = boto3.client("sns").create_topic(Name="triggers")["TopicArn"]
        boto3.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.arn(self.trigger))

    def arn(self, url: str) -> str:
        return str(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])

    def send(self, url: str, body: object, **attributes: str) -> str:
        answer = self.sqs.send_message(
            QueueUrl=url,
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
        )
        return str(answer["MessageId"])

    def take(self, url: str) -> list[Any]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def count(self, url: str) -> int:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def queues(deployed: Stack, monkeypatch: pytest.MonkeyPatch) -> Queues:
    queues = Queues()
    stack = replace(
        deployed,
        command="emrp --local",
        trigger_queue_url=queues.trigger,
        trigger_topic_arn=queues.topic,
        rejected_trigger_queue_url=queues.rejected,
        trigger_dead_letter_queue_url=queues.dead,
        event_dead_letter_queue_url=queues.events,
    )
    monkeypatch.setattr(Stack, "describe", lambda *_: stack)
    monkeypatch.setattr(dead_letters, "_WAIT_SECONDS", 0)
    return queues


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every run start that is looked for, but only after it has been missed once."""
    missed: set[str] = set()

    def exists(run_id: str, _: Stack) -> bool:
        known = run_id in missed
        missed.add(run_id)
        return known

    monkeypatch.setattr(triggers, "_exists", exists)


@pytest.mark.usefixtures("registry", "started")
class TestTrigger:
    """What a file contains goes where it would come from."""

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_trigger_puts_the_message_on_the_queue_when_it_is_an_example(
        self, emrp: Command, queues: Queues, example: str
    ) -> None:
        code, out, _ = emrp("trigger", path_of(f"start_pipeline.{example}"), "--json")

        (message,) = queues.take(queues.trigger)
        original = json.loads(example_event(f"start_pipeline.{example}")["Records"][0]["body"])
        assert code == 0
        assert message.keys() >= original.keys() - {"Signature", "UnsubscribeURL"}
        assert [run["state"] for run in json.loads(out)["runs"]] == ["STARTED"] * (example != "batch_flush")

    @pytest.mark.parametrize("example", ["s3_object_created", "schedule", "sns_message", "event"])
    def test_trigger_starts_another_run_when_it_is_used_again(
        self, emrp: Command, queues: Queues, example: str
    ) -> None:
        runs = [
            json.loads(emrp("trigger", path_of(f"start_pipeline.{example}"), "--json")[1])["runs"][0]["runId"]
            for _ in range(2)
        ]

        assert runs[0] != runs[1]

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_trigger_sends_what_it_got_when_that_is_asked_for(
        self, emrp: Command, queues: Queues, example: str
    ) -> None:
        for _ in range(2):
            emrp("trigger", path_of(f"start_pipeline.{example}"), "--as-is")

        first, again = queues.take(queues.trigger)
        assert first == again == json.loads(example_event(f"start_pipeline.{example}")["Records"][0]["body"])

    def test_trigger_says_so_when_the_run_was_there_before(self, emrp: Command, queues: Queues) -> None:
        path = path_of("start_pipeline.schedule")
        emrp("trigger", path, "--as-is")
        code, out, _ = emrp("trigger", path, "--as-is")

        assert code == 0
        assert "was started before by the same message" in out

    def test_trigger_sends_an_upload_of_the_stacks_bucket_when_the_example_has_another(
        self, emrp: Command, queues: Queues, tmp_path: Path
    ) -> None:
        body = json.loads(example_event("start_pipeline.s3_object_created")["Records"][0]["body"])
        body["detail"]["bucket"]["name"] = "of-the-example"
        (tmp_path / "upload.json").write_text(json.dumps(body))
        emrp("trigger", str(tmp_path / "upload.json"))

        (message,) = queues.take(queues.trigger)
        assert message["detail"]["bucket"]["name"] == "bucket"

    @pytest.mark.parametrize("example", ["plan_run.console", "plan_run.inline_definition", "plan_run.upload"])
    def test_trigger_starts_an_execution_when_it_is_the_input_of_one(
        self, emrp: Command, queues: Queues, deployed: Stack, example: str
    ) -> None:
        code, out, _ = emrp("trigger", path_of(example))

        listed = boto3.client("stepfunctions").list_executions(stateMachineArn=deployed.pipeline_state_machine_arn)
        (execution,) = listed["executions"]
        assert (code, f"emrp --local watch {execution['name']}" in out) == (0, True)
        assert execution["name"].startswith("salaries")

    @pytest.mark.parametrize("text", ["", "[]", '"x"', "3", '{"Records": 3}', '{"Records": [{"body": "x"}]}', "{}"])
    def test_trigger_refuses_a_file_when_nothing_can_start_from_it(
        self, emrp: Command, queues: Queues, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "event.json").write_text(text)

        code, _, complaint = emrp("trigger", str(tmp_path / "event.json"))
        assert code == 2
        assert re.search("is no JSON: |; the folder events/ has what can|^This starts nothing: ", complaint)
        assert "Error(" not in complaint
        assert queues.take(queues.trigger) == []

    def test_trigger_fails_when_the_run_does_not_start(
        self, emrp: Command, queues: Queues, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(triggers, "_DEADLINE_SECONDS", 0)
        monkeypatch.setattr(triggers, "_exists", lambda *_: False)

        code, out, _ = emrp("trigger", path_of("start_pipeline.event"))
        assert code == 3
        assert "has not started: see whether the message was rejected, with: emrp --local dlq list" in out


UPLOAD = json.loads(example_event("start_pipeline.s3_object_created")["Records"][0]["body"])
RECORD = {
    "version": "1.0",
    "timestamp": "2026-11-20T14:00:00Z",
    "requestContext": {
        "requestId": "e1",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:notify:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    },
    "requestPayload": example_event("notify.pipeline_run_failed"),
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "responsePayload": {"errorType": "TransientError", "errorMessage": "Publish: Throttling"},
}


class TestDeadLetters:
    """What is there, why, and where it goes."""

    def test_list_is_empty_when_nothing_went_wrong(self, emrp: Command, queues: Queues) -> None:
        assert emrp("dlq", "list")[:2] == (0, "There is no message that could not be handled.\n")

    def test_list_tells_what_it_is_and_why_when_there_is_something(self, emrp: Command, queues: Queues) -> None:
        queues.send(queues.rejected, "[red]garbage", reason="it is not JSON", source="unknown")
        queues.send(queues.dead, UPLOAD)
        queues.send(queues.events, RECORD)
        queues.send(queues.events, UPLOAD, RULE_ARN="arn:rule", TARGET_ARN="arn:target", ERROR_CODE="SDK_CLIENT_ERROR")

        messages = json.loads(emrp("dlq", "list", "--json")[1])["messages"]
        assert {(m["queue"], m["what"], m["reason"].partition(" failed")[0]) for m in messages} == {
            ("rejected", "not a trigger", "it is not JSON"),
            ("trigger", "upload landing/salaries/2026-11.csv", "start_pipeline"),
            ("event", "Pipeline Run Failed of emr-pipelines", "TransientError: Publish: Throttling"),
            ("event", "Object Created of aws.s3", "SDK_CLIENT_ERROR"),
        }
        assert all(m["sentAt"].endswith("Z") for m in messages)
        lines = emrp("dlq", "list")[1].splitlines()
        assert lines[0].split() == ["ID", "AGE", "QUEUE", "WHAT"]
        assert len(lines) == 1 + 2 * 4
        assert "  TransientError: Publish: Throttling" in lines

    def test_show_has_everything_when_the_id_is_cut(self, emrp: Command, queues: Queues) -> None:
        message_id = queues.send(queues.rejected, {"a": 1}, reason="none of the messages", source="unknown")
        code, out, _ = emrp("dlq", "show", message_id[:8])

        assert code == 0
        assert message_id in out
        assert "none of the messages" in out
        assert "Queue          rejected triggers\n" in out
        assert out.endswith('{\n  "a": 1\n}\n')

    @pytest.mark.parametrize("arguments", [["show", "x"], ["redrive", "x"], ["redrive"], ["redrive", "x", "--all"]])
    def test_dlq_refuses_when_it_does_not_know_which_message(
        self, emrp: Command, queues: Queues, arguments: list[str]
    ) -> None:
        queues.send(queues.rejected, "garbage")

        assert emrp("dlq", *arguments)[0] == 2
        assert queues.count(queues.rejected) == 1

    def test_redrive_sends_a_message_to_the_trigger_queue_when_it_came_from_there(
        self, emrp: Command, queues: Queues
    ) -> None:
        chosen = queues.send(queues.rejected, UPLOAD, reason="r", source="upload")
        queues.send(queues.rejected, "garbage")

        assert emrp("dlq", "redrive", chosen)[:2] == (0, "Sent 1 of 1.\n")
        assert queues.take(queues.trigger) == [UPLOAD]
        assert queues.count(queues.rejected) == 1

    def test_redrive_asks_first_when_it_is_about_everything(
        self, emrp: Command, queues: Queues, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", StringIO())
        queues.send(queues.rejected, UPLOAD)

        assert emrp("dlq", "redrive", "--all")[0] == 2
        assert queues.count(queues.rejected) == 1
        assert emrp("dlq", "redrive", "--all", "--yes", "--json")[0] == 0
        assert queues.count(queues.rejected) == 0
        assert emrp("dlq", "redrive", "--all")[1] == "Sent 0 of 0.\n"

    def test_redrive_lets_a_message_stay_when_it_cannot_be_sent(self, emrp: Command, queues: Queues) -> None:
        queues.send(queues.events, UPLOAD, TARGET_ARN="arn:aws:sqs:us-east-1:123456789012:gone")
        queues.send(queues.events, "garbage")
        code, out, complaint = emrp("dlq", "redrive", "--all", "--yes")

        assert (code, out) == (3, "Sent 0 of 2.\n")
        assert complaint.count("is still there") == 2
        assert queues.count(queues.events) == 2

    def test_redrive_calls_the_function_with_its_event_when_lambda_gave_up(
        self, emrp: Command, queues: Queues, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queues.send(queues.events, RECORD)
        function, client = Mock(), boto3.client
        monkeypatch.setattr(boto3, "client", lambda service: function if service == "lambda" else client(service))

        assert emrp("dlq", "redrive", "--all", "--yes")[0] == 0
        (call,) = function.invoke.mock_calls
        assert call.kwargs["FunctionName"] == "arn:aws:lambda:us-east-1:123456789012:function:notify"
        assert call.kwargs["InvocationType"] == "Event"
        assert json.loads(call.kwargs["Payload"]) == RECORD["requestPayload"]
        assert queues.count(queues.events) == 0

    def test_redrive_does_what_the_rule_does_when_it_was_going_to_the_trigger_queue(
        self, emrp: Command, queues: Queues
    ) -> None:
        events, arn = boto3.client("events"), queues.arn(queues.trigger)
        template = '{"pipeline": "salaries", "event": <aws.events.event.json>, "parameters": {}}'
        rule_arn = events.put_rule(Name="rule", EventPattern='{"source": ["x"]}')["RuleArn"]
        events.put_targets(
            Rule="rule", Targets=[{"Id": "queue", "Arn": arn, "InputTransformer": {"InputTemplate": template}}]
        )
        queues.send(queues.events, UPLOAD, RULE_ARN=rule_arn, TARGET_ARN=arn)

        assert emrp("dlq", "redrive", "--all", "--yes")[0] == 0
        assert queues.take(queues.trigger) == [{"pipeline": "salaries", "event": UPLOAD, "parameters": {}}]

    def test_redrive_lets_an_event_stay_when_its_rule_is_gone(self, emrp: Command, queues: Queues) -> None:
        rule_arn = "arn:aws:events:us-east-1:123456789012:rule/gone"
        queues.send(queues.events, UPLOAD, RULE_ARN=rule_arn, TARGET_ARN=queues.arn(queues.trigger))

        code, _, complaint = emrp("dlq", "redrive", "--all", "--yes")
        assert (code, f"Its rule {rule_arn} does not exist any more." in complaint) == (3, True)
