"""The SNS topic from which people hear about their runs, and the topics that pipeline files name besides."""

import json
from collections.abc import Mapping

from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.gateways.aws import client, translated_errors

# Where a program reads, or AWS Chatbot, which subscribes by HTTPS; everybody else gets the text.
_PROGRAMS = ("http", "https", "lambda", "sqs")


class NotificationTopic:
    """Publishes notifications; their attributes let each subscription choose what it wants to hear."""

    def __init__(self, topic_arn: str, stack_name: str) -> None:
        self._sns = client("sns")
        self._topic_arn = topic_arn
        self._stack_name = stack_name
        self._prefix = f"{stack_name}-notify-"

    def publish(
        self,
        subject: str,
        body: str,
        document: str,
        attributes: Mapping[str, str | list[str]],
        topic: str | None = None,
    ) -> None:
        """Send one notification to every subscription whose filter matches `attributes`: of a topic, or of the stack's.

        People get `body`, programs `document`.
        """
        with translated_errors():
            self._sns.publish(
                TopicArn=self._arn(topic) if topic else self._topic_arn,
                Subject=subject,
                MessageStructure="json",
                Message=json.dumps({"default": body, **dict.fromkeys(_PROGRAMS, document)}),
                MessageAttributes={
                    name: _attribute(value) for name, value in {**attributes, "stack": self._stack_name}.items()
                },
            )

    def refusal(self, topic: str) -> str | None:
        """Return why a topic that a pipeline file names cannot be published to, or None when it can."""
        if not topic.startswith(self._prefix):
            return f"must begin with {self._prefix}: this stack may publish to no other topics"
        try:
            with translated_errors():
                self._sns.get_topic_attributes(TopicArn=self._arn(topic))
        except RequestRefusedError as error:
            return f"there is no such topic in this account and region ({error.code})"
        return None

    def _arn(self, topic: str) -> str:
        return f"{self._topic_arn.rpartition(':')[0]}:{topic}"


def _attribute(value: str | list[str]) -> dict[str, str]:
    if isinstance(value, str):
        return {"DataType": "String", "StringValue": value}
    return {"DataType": "String.Array", "StringValue": json.dumps(value)}
