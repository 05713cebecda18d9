"""The trigger queue, and the queue of what nobody can make a run of."""

import json
from typing import Any

from emr_pipelines.gateways.aws import client, translated_errors

_MAX_REASON = 1000  # characters; the rest of what SQS takes belongs to the message


class TriggerQueue:
    """Sends to both queues; receiving is Lambda's part."""

    def __init__(self, queue_url: str, rejected_queue_url: str) -> None:
        self._sqs = client("sqs")
        self._queue_url = queue_url
        self._rejected_queue_url = rejected_queue_url

    def send_later(self, message: dict[str, Any], delay_seconds: int) -> None:
        """Send a message that arrives after a delay of 900 seconds at the most."""
        with translated_errors():
            self._sqs.send_message(
                QueueUrl=self._queue_url, MessageBody=json.dumps(message), DelaySeconds=delay_seconds
            )

    def reject(self, body: str, *, source: str, reason: str) -> None:
        """Keep a message that can never start a run, as it came, with what is wrong with it."""
        attributes = {"reason": _printable(reason)[:_MAX_REASON], "source": source}
        with translated_errors():
            self._sqs.send_message(
                QueueUrl=self._rejected_queue_url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )


def _printable(text: str) -> str:
    """SQS refuses most control characters in an attribute."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
