"""What is in the dead-letter queues of the stack and in that of rejected triggers, why, and where it was going.

Looking at a message hides it from others for a while; `held` shows it again.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from emr_pipelines.clock import iso_time
from emr_pipelines.errors import InvalidTriggerError
from emr_pipelines.trigger_messages import EVENT_PLACEHOLDER
from emr_pipelines.triggers import Flush, Request, Upload, parse_message

from emrp.errors import CommandError
from emrp.phrases import cause_of_run
from emrp.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_HOLD_SECONDS = 300
_WAIT_SECONDS = 1  # so that SQS asks all of its servers


@dataclass(frozen=True)
class DeadLetter:
    """A message of one of the queues: rejected, trigger or event; `target` is the ARN or URL it was meant for."""

    queue: str
    queue_url: str
    message_id: str
    receipt_handle: str
    sent_at: datetime
    body: str
    attributes: dict[str, str]
    what: str
    reason: str
    target: str

    @property
    def age_seconds(self) -> float:
        """How long ago it came into the dead-letter queue."""
        return (datetime.now(UTC) - self.sent_at).total_seconds()

    def as_json(self) -> dict[str, Any]:
        """Return everything there is to know."""
        return {
            "messageId": self.message_id,
            "queue": self.queue,
            "sentAt": iso_time(self.sent_at),
            "what": self.what,
            "reason": self.reason,
            "target": self.target,
            "attributes": self.attributes,
            "body": self.body,
        }


@contextmanager
def held(stack: Stack) -> Iterator[list[DeadLetter]]:
    """Hold all dead letters, the oldest first; others see again what is still in the list afterwards."""
    letters: list[DeadLetter] = []
    try:
        letters += _receive("rejected", stack.rejected_trigger_queue_url, stack)
        letters += _receive("trigger", stack.trigger_dead_letter_queue_url, stack)
        letters += _receive("event", stack.event_dead_letter_queue_url, stack)
        letters.sort(key=lambda letter: letter.sent_at)
        yield letters
    finally:
        for letter in letters:
            boto3.client("sqs").change_message_visibility(
                QueueUrl=letter.queue_url, ReceiptHandle=letter.receipt_handle, VisibilityTimeout=0
            )


def redrive(letter: DeadLetter) -> None:
    """Send a dead letter to where it was going, and remove it only then."""
    _send(letter)
    boto3.client("sqs").delete_message(QueueUrl=letter.queue_url, ReceiptHandle=letter.receipt_handle)


def _send(letter: DeadLetter) -> None:
    sqs = boto3.client("sqs")
    if ":lambda:" in letter.target:
        boto3.client("lambda").invoke(FunctionName=letter.target, InvocationType="Event", Payload=_payload(letter))
    elif ":sqs:" in letter.target:
        url = sqs.get_queue_url(QueueName=letter.target.rsplit(":", 1)[-1])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=_transformed(letter))
    elif letter.target:
        sqs.send_message(QueueUrl=letter.target, MessageBody=letter.body)
    else:
        raise CommandError("It does not say where it was going.")


def _payload(letter: DeadLetter) -> str:
    """Return the event of a function: Lambda's own record of a failure has it inside."""
    document = _document(letter.body)
    return json.dumps(document["requestPayload"]) if "requestPayload" in document else letter.body


def _transformed(letter: DeadLetter) -> str:
    """Return what the rule makes of an event: its dead-letter queue gets the event as it was before."""
    document = _document(letter.body)
    rule_arn = letter.attributes.get("RULE_ARN", "")
    if "event" in document or not rule_arn:
        return letter.body
    events = boto3.client("events")
    try:
        targets = events.list_targets_by_rule(Rule=rule_arn.rsplit("/", 1)[-1])["Targets"]
    except events.exceptions.ResourceNotFoundException:
        raise CommandError(f"Its rule {rule_arn} does not exist any more.") from None
    templates = [
        target["InputTransformer"]["InputTemplate"]
        for target in targets
        if target["Arn"] == letter.target and "InputTransformer" in target
    ]
    return templates[0].replace(EVENT_PLACEHOLDER, letter.body) if templates else letter.body


def _receive(queue: str, url: str, stack: Stack) -> Iterator[DeadLetter]:
    seen: set[str] = set()
    while True:
        answer = boto3.client("sqs").receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HOLD_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        fresh = [message for message in answer.get("Messages", []) if message["MessageId"] not in seen]
        if not fresh:
            return
        for message in fresh:
            seen.add(message["MessageId"])
            yield _read(queue, url, message, stack)


def _read(queue: str, url: str, message: "MessageTypeDef", stack: Stack) -> DeadLetter:
    body = message["Body"]
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    what, reason, target = _understood(queue, body, attributes, stack)
    return DeadLetter(
        queue=queue,
        queue_url=url,
        message_id=message["MessageId"],
        receipt_handle=message["ReceiptHandle"],
        sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        body=body,
        attributes=attributes,
        what=what,
        reason=reason,
        target=target,
    )


def _understood(queue: str, body: str, attributes: dict[str, str], stack: Stack) -> tuple[str, str, str]:
    """Return what a message is, why it is here, and where it was going."""
    if queue != "event":
        reason = attributes.get("reason", "start_pipeline failed with it each time: its log says why")
        return _trigger(body), reason, stack.trigger_queue_url
    document = _document(body)
    if "requestPayload" in document:
        failure = document.get("responsePayload") or {}
        reason = f"{failure.get('errorType', 'failed')}: {failure.get('errorMessage', '')}".rstrip(": ")
        function_arn = str(document.get("requestContext", {}).get("functionArn", ""))
        return _event(document["requestPayload"]), reason, function_arn.removesuffix(":$LATEST")
    reason = f"{attributes.get('ERROR_CODE', 'unknown')}: {attributes.get('ERROR_MESSAGE', '')}".rstrip(": ")
    return _event(document), reason, attributes.get("TARGET_ARN", "")


def _trigger(body: str) -> str:
    try:
        trigger = parse_message(body)
    except InvalidTriggerError:
        return "not a trigger"
    match trigger:
        case Upload():
            return f"upload {trigger.key}"
        case Request():
            return f"{cause_of_run(trigger.trigger)} for {trigger.pipeline}"
        case Flush():
            return f"batch of {trigger.collection.pipeline}"


def _event(event: object) -> str:
    match event:
        case {"detail-type": detail_type, "source": source}:
            return f"{detail_type} of {source}"
        case {"schedule": {"pipeline": pipeline, "scheduledTime": time}}:
            return f"schedule {time} for {pipeline}"
        case {"pipeline": pipeline, "event": {"detail-type": detail_type}}:
            return f"event {detail_type} for {pipeline}"
    return "unknown"


def _document(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
