"""The deployed stack, as its CloudFormation outputs describe it: what every command needs to know of AWS."""

from dataclasses import dataclass
from typing import Self

import boto3
from botocore.exceptions import ClientError

from emrp.errors import CommandError

_OUTPUTS = {
    "bucket": "BucketName",
    "pipeline_state_machine_arn": "PipelineStateMachineArn",
    "run_table": "RunTableName",
    "notification_topic_arn": "NotificationTopicArn",
    "trigger_topic_arn": "TriggerTopicArn",
    "trigger_queue_url": "TriggerQueueUrl",
    "rejected_trigger_queue_url": "RejectedTriggerQueueUrl",
    "trigger_dead_letter_queue_url": "TriggerDeadLetterQueueUrl",
    "event_dead_letter_queue_url": "EventDeadLetterQueueUrl",
    "sweep_function": "SweepFunctionName",
}


@dataclass(frozen=True)
class Stack:
    """A deployed EMR Pipelines stack."""

    name: str
    bucket: str
    pipeline_state_machine_arn: str
    run_table: str
    notification_topic_arn: str
    trigger_topic_arn: str
    trigger_queue_url: str
    rejected_trigger_queue_url: str
    trigger_dead_letter_queue_url: str
    event_dead_letter_queue_url: str
    sweep_function: str
    command: str = "emrp"

    @classmethod
    def describe(cls, name: str, command: str = "emrp") -> Self:
        """Read the outputs of the stack `name`; `command` is how this program is called for it, for its hints."""
        try:
            stacks = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CommandError(
                f'There is no stack "{name}" in this account and region: deploy it with `{command} deploy`, '
                "or name another with --stack, --profile or --region."
            ) from error
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        try:
            return cls(name, **{attribute: outputs[output] for attribute, output in _OUTPUTS.items()}, command=command)
        except KeyError as error:
            state = stacks[0]["StackStatus"]
            raise CommandError(
                f'The stack "{name}" is {state} and has no output {error}: wait for its end, or deploy it again.'
            ) from error

    def as_json(self) -> dict[str, str]:
        """Return what a script may want to know, in the words of CloudFormation."""
        return {"StackName": self.name, **{output: getattr(self, name) for name, output in _OUTPUTS.items()}}
