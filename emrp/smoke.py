"""`emrp smoke`: the main job in a real account and region, in a stack of its own that is deleted afterwards.

What `emrp demo` proves on this machine, this proves on AWS with the same code; the notification is received by a
queue instead of a mailbox.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import boto3
from rich.console import Console

from emrp.deployment import Deployment
from emrp.errors import RunFailedError
from emrp.pipelines import deploy_project
from emrp.progress import Stages
from emrp.project import Project
from emrp.sample_run import Pace, run_sample
from emrp.stack import Stack

_PACE = Pace(run_starts_seconds=120, look_seconds=2)
_NOTIFICATION_SECONDS = 120.0

# EMR Serverless in us-east-1, x86_64, on demand. The sample's driver and three executors take 4 vCPU and 16 GB each.
_USD_PER_VCPU_HOUR, _USD_PER_GB_HOUR = 0.052624, 0.0057785
_WORKERS, _VCPU, _GB, _MINUTES = 4, 4, 16, 3


def estimate() -> str:
    """Say what a smoke test costs."""
    hours = _MINUTES / 60 * _WORKERS
    emr = hours * (_VCPU * _USD_PER_VCPU_HOUR + _GB * _USD_PER_GB_HOUR)
    return (
        f"This costs about {emr + 0.01:.2f} USD (prices of us-east-1): {emr:.2f} for EMR Serverless, which runs "
        f"{_WORKERS} workers of {_VCPU} vCPU and {_GB} GB for about {_MINUTES} minutes, and below 0.01 for the rest."
    )


class Smoke:
    """One smoke test; its stack has a name of its own."""

    def __init__(self, console: Console, *, local: bool) -> None:
        self.stack_name = f"emr-pipelines-smoke-{uuid4().hex[:8]}"
        self._stages = Stages(console)
        self._deployment = Deployment(Project.find(), self.stack_name, local, {"NotificationEmail": ""})

    def run(self) -> None:
        """Do it all; raises RunFailedError unless result and notification are right. Everything is deleted."""
        with self._everything_deleted():
            self._deployment.run(self._stages)
            stack = Stack.describe(self.stack_name)
            deploy_project(self._stages, stack, self._deployment.project)
            with _subscribed_queue(self.stack_name, stack.notification_topic_arn) as queue_url:
                picture = run_sample(self._stages, stack, _PACE)
                with self._stages.stage("Receive the notification"):
                    notification = _wait_for_notification(queue_url, picture.run_id)
        self._stages.console.print(f"\n{notification}\n", markup=False, soft_wrap=True)
        self._stages.console.print(self._stages.summary())
        if not picture.succeeded:
            raise RunFailedError(f"The run {picture.status.lower()}: {picture.error}: {picture.cause}")

    @contextmanager
    def _everything_deleted(self) -> Iterator[None]:
        try:
            yield
        finally:
            try:
                with self._stages.stage("Delete everything"):
                    bucket = _bucket_of(self.stack_name)
                    self._deployment.delete()
                    if bucket:
                        _delete_bucket(bucket)
            except BaseException:
                self._stages.console.print(
                    f"Not everything could be deleted: look at the stack {self.stack_name}, and at the bucket and "
                    f"the EMR Serverless applications with the tag emr-pipelines:stack={self.stack_name}.",
                    style="red",
                )
                raise


@contextmanager
def _subscribed_queue(name: str, topic_arn: str) -> Iterator[str]:
    """Provide a queue that receives what is published to the topic."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    try:
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)  # it goes with the topic
        yield url
    finally:
        sqs.delete_queue(QueueUrl=url)


def _wait_for_notification(queue_url: str, run_id: str) -> str:
    sqs = boto3.client("sqs")
    deadline = time.monotonic() + _NOTIFICATION_SECONDS
    while time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=10).get("Messages", []):
            notification = json.loads(message["Body"])
            if run_id in notification["Message"]:
                return f"{notification.get('Subject', '')}\n\n{notification['Message']}"
    raise RunFailedError(f"No notification of the run {run_id} came within {_NOTIFICATION_SECONDS:.0f} s.")


def _bucket_of(stack_name: str) -> str | None:
    """Return the bucket of a stack that may be half-made or not there at all."""
    cloudformation = boto3.client("cloudformation")
    try:
        resources = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    except cloudformation.exceptions.ClientError:
        return None
    return next((item.get("PhysicalResourceId") for item in resources if item["LogicalResourceId"] == "Bucket"), None)


def _delete_bucket(name: str) -> None:
    bucket = boto3.resource("s3").Bucket(name)
    bucket.object_versions.delete()
    bucket.delete()
