"""The stack of this project, deployed with the SAM CLI on the local AWS of the tests."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console

from emrp.deployment import Deployment
from emrp.local import ACCOUNT_ID
from emrp.progress import Stages
from emrp.project import Project
from emrp.stack import Stack
from tests.local.conftest import LocalAwsUnderTest, eventually

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 240.0
EMR_RULE = "HandleStateChangeFunctionStateChange"

PIPELINE = """\
name: {name}
triggers:
  uploads: [{{prefix: landing/{name}/}}]
application:
  releaseLabel: emr-7.9.0
  type: SPARK
  lifecycle: {lifecycle}
jobs:
  - name: only
    jobDriver:
      sparkSubmit:
        entryPoint: s3://{{{{ stack.bucket }}}}/jobs/{name}.py
        entryPointArguments: ["{{{{ trigger.uri }}}}"]
"""


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack and what its tests do with it."""

    aws: LocalAwsUnderTest
    stack: Stack

    def put(self, key: str, body: str) -> str:
        """Put an object into the bucket of the stack; returns its version."""
        answer = self.aws.client("s3").put_object(Bucket=self.stack.bucket, Key=key, Body=body.encode())
        version: str = answer["VersionId"]
        return version

    def register(self, file: str, text: str) -> None:
        """Upload a file below pipelines/ and wait until it is live: uploads that no pipeline claims are ignored."""
        version = self.put(f"pipelines/{file}", text)
        eventually(lambda: self.registered(Path(file).stem).get("version") == version)

    def registered(self, pipeline: str) -> dict[str, Any]:
        """What the registry knows of a pipeline whose registration is finished."""
        key = {"pk": {"S": "PIPELINES"}, "sk": {"S": pipeline}}
        answer = self.aws.client("dynamodb").get_item(TableName=self.stack.run_table, Key=key, ConsistentRead=True)
        item = {name: next(iter(value.values())) for name, value in answer.get("Item", {}).items()}
        return item if item.get("settled") else {}

    def add_pipeline(self, source: str, lifecycle: str = "shared") -> str:
        """Add a pipeline of one job with the given program; returns its name."""
        name = f"test-{uuid4().hex[:8]}"
        self.put(f"jobs/{name}.py", source)
        self.register(f"{name}.yaml", PIPELINE.format(name=name, lifecycle=lifecycle))
        return name

    def upload(self, pipeline: str, body: str = "x", name: str = "data.csv") -> str:
        """Upload a file for a pipeline; returns the ARN of the execution that it starts."""
        key = f"landing/{pipeline}/{uuid4().hex[:8]}/{name}"
        self.put(key, body)
        return eventually(lambda: self.execution_for(key))

    def start(self, pipeline: str, application: dict[str, Any], jobs: list[dict[str, Any]], **fields: Any) -> str:
        """Start a run of a pipeline that is registered nowhere; returns the ARN of its execution."""
        definition = {"name": pipeline, "application": application, "jobs": jobs, **fields}
        started = self.aws.client("stepfunctions").start_execution(
            stateMachineArn=self.stack.pipeline_state_machine_arn,
            name=f"{pipeline}-{uuid4().hex[:8]}",
            input=json.dumps({"definition": definition}),
        )
        arn: str = started["executionArn"]
        return arn

    def physical_name(self, logical_id: str) -> str:
        """What a resource of the template is called (for a queue, its URL)."""
        cloudformation = self.aws.client("cloudformation")
        found = cloudformation.describe_stack_resource(StackName=self.stack.name, LogicalResourceId=logical_id)
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name

    @contextmanager
    def lost(self, *rules: str) -> Iterator[None]:
        """Let the events that some rules of the template would match be lost."""
        events = self.aws.client("events")
        names = [self.physical_name(rule) for rule in rules]
        for name in names:
            events.disable_rule(Name=name)
        try:
            yield
        finally:
            for name in names:
                events.enable_rule(Name=name)

    def execution_for(self, key: str) -> str | None:
        """Return the ARN of the execution that an upload of `key` has started."""
        for execution in self.executions():
            described = self.aws.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
            if json.loads(described["input"]).get("trigger", {}).get("key") == key:
                arn: str = described["executionArn"]
                return arn
        return None

    def executions(self) -> list[dict[str, Any]]:
        """All executions of the outer state machine."""
        arn = self.stack.pipeline_state_machine_arn
        pages = self.aws.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=arn)
        return [execution for page in pages for execution in page["executions"]]

    def ended(self, execution_arn: str, seconds: float = RUN_SECONDS) -> str:
        """Wait for the end of an execution; returns its status."""
        states = self.aws.client("stepfunctions")

        def status() -> str | None:
            found: str = states.describe_execution(executionArn=execution_arn)["status"]
            return found if found != "RUNNING" else None

        return eventually(status, seconds, every=0.1)  # the processor is needed for the run

    def item(self, execution_arn: str, sort_key: str = "RUN") -> dict[str, Any]:
        """An item of the run record, as DynamoDB keeps it."""
        key = {"pk": {"S": f"RUN#{execution_arn.rsplit(':', 1)[1]}"}, "sk": {"S": sort_key}}
        answer = self.aws.client("dynamodb").get_item(TableName=self.stack.run_table, Key=key)
        return {name: next(iter(value.values())) for name, value in answer.get("Item", {}).items()}

    def emails(self, execution_arn: str) -> list[dict[str, str]]:
        """Wait for e-mail about a run; returns all that there is."""
        run_id = execution_arn.rsplit(":", 1)[1]
        return eventually(lambda: [email for email in self.aws.inbox() if run_id in email["body"]])

    def path(self, execution_arn: str) -> list[str]:
        """The names of the states that an execution has entered, in order."""
        history = self.aws.history(execution_arn)
        return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]

    def active_job_runs(self, execution_arn: str) -> list[str]:
        """The job runs of the run's application that have not ended."""
        application_id = self.item(execution_arn)["application_id"]
        answer = self.aws.client("emr-serverless").list_job_runs(applicationId=application_id)
        return [run["id"] for run in answer["jobRuns"] if run["state"] not in {"SUCCESS", "FAILED", "CANCELLED"}]


def deploy_project(aws: LocalAwsUnderTest) -> DeployedStack:
    """Deploy the stack with the project's own programs and pipelines, as `make run` does."""
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/makes-clusters-of-templates"
    deployed = deploy(aws, "emr-pipelines", ClusterTemplateRoleArn=role)
    for program in sorted((ROOT / "jobs").glob("*.*")):
        deployed.put(f"jobs/{program.name}", program.read_text())
    for file in sorted((ROOT / "pipelines").glob("*.*")):
        deployed.register(file.name, file.read_text())
    confirm_subscription(aws)
    return deployed


def deploy(aws: LocalAwsUnderTest, name: str, **parameters: str) -> DeployedStack:
    """Build and deploy the project's own template, with a mail for each of many runs that fail on purpose."""
    parameters = {"NotificationBurstSize": "1000", **parameters}
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith("AWS_")]:
            patch.delenv(key)
        for key, value in aws.server.environment().items():
            patch.setenv(key, value)
        Deployment(Project(ROOT), name, local=True, parameters=parameters).run(Stages(Console(quiet=True)))
        return DeployedStack(aws, Stack.describe(name))


def confirm_subscription(local_aws: LocalAwsUnderTest) -> None:
    """Confirm the stack's e-mail subscription with the token that was mailed."""
    sns = local_aws.client("sns")
    for email in local_aws.inbox():
        if "Token=" in email["body"]:
            link = email["body"].split("Token=")[1]
            token, topic = link.split("&")[0].split()[0], email["body"].split("TopicArn=")[1].split("&")[0].split()[0]
            sns.confirm_subscription(TopicArn=topic.replace("%3A", ":"), Token=token)
