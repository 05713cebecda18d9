"""The SNS topic from which people hear about their runs."""

from emr_pipelines.gateways.aws import client, translated_errors


class NotificationTopic:
    """Publishes notifications; their attributes let each subscription choose what it wants to hear."""

    def __init__(self, topic_arn: str) -> None:
        self._sns = client("sns")
        self._topic_arn = topic_arn

    def publish(self, subject: str, body: str, attributes: dict[str, str]) -> None:
        """Send one notification to every subscription whose filter matches `attributes`."""
        with translated_errors():
            self._sns.publish(
                TopicArn=self._topic_arn,
                Subject=subject,
                Message=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
