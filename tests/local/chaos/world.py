"""The stack on a local AWS that fails when it is told to, and everything that can be seen of its runs."""

import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from emrp.dead_letters import held, redrive
from emrp.local import lifecycle
from tests.local.chaos.scenarios import TEMPLATE, Scenario
from tests.local.conftest import LocalAwsUnderTest
from tests.local.deployed import DeployedStack, deploy

# Nobody waits long for what was lost.
_PARAMETERS = {"HeartbeatSeconds": "8", "RunningHeartbeatSeconds": "8", "WaitingHeartbeatSeconds": "8"}
_RUNS_OF_A_PIPELINE = 2  # of many failures in a quarter of an hour people are told together
_END = re.compile(r"(Pipeline|Job) Run (Succeeded|Failed|Cancelled|Skipped|Timed Out)")
_FAST = {"EMRP_SIMULATED_JOB_SECONDS": "0.1", "EMRP_API_QUOTAS": "off"}
# Lambda comes again after a minute, then two; ministack does after a second, then two. By then Powertools still takes a
# notification for being sent by the function that was killed (for at most its timeout).
_RETRIES = {"LAMBDA_ASYNC_RETRY_BASE_SECONDS": "20", "LAMBDA_ASYNC_RETRY_MAX_SECONDS": "60"}

_CLUSTER = "j-"  # how the ids of clusters begin
_STEP_STATES = {"COMPLETED": "SUCCESS", "INTERRUPTED": "FAILED", "CANCEL_PENDING": "CANCELLING"}

Item = dict[str, Any]


@dataclass(frozen=True)
class ChaosRun:
    """A run that was started, and what it was to do."""

    run_id: str
    execution_arn: str
    scenario: Scenario


@dataclass
class World:
    """The stack, and what its topic and its event bus have told so far."""

    stack: DeployedStack
    queues: dict[str, str]
    tried: int = 0  # how often faults have struck that are not in force any more
    redriven: int = 0  # messages that were in a dead-letter queue
    started: list[ChaosRun] = field(default_factory=list)
    told: dict[str, list[Item]] = field(default_factory=lambda: {"notifications": [], "events": []})

    def client(self, service: str) -> Any:
        return self.stack.aws.client(service)

    def faults(self, *, seed: int = 0, calls: Sequence[Item] = (), events: Sequence[Item] = ()) -> None:
        """Put faults in force in the place of those before."""
        self.tried += self.struck()
        self._ask({"seed": seed, "calls": list(calls), "events": list(events)})

    def struck(self) -> int:
        """How often the faults have struck."""
        return sum(number for numbers in self._ask(None).values() for number in numbers)

    def start(self, scenario: Scenario) -> ChaosRun:
        """Start a run of a pipeline that is registered nowhere."""
        pipeline = f"{scenario.pipeline}-{len(self.started) // _RUNS_OF_A_PIPELINE}"
        run_id = f"{pipeline}-{uuid4().hex[:12]}"
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.stack.stack.pipeline_state_machine_arn,
            name=run_id,
            input=json.dumps({"definition": scenario.definition() | {"name": pipeline}}),
        )
        self.started.append(ChaosRun(run_id, started["executionArn"], scenario))
        return self.started[-1]

    def stop(self, run: ChaosRun) -> None:
        self.client("stepfunctions").stop_execution(executionArn=run.execution_arn)

    def status(self, run: ChaosRun) -> str:
        """The status of a run's execution."""
        return str(self.client("stepfunctions").describe_execution(executionArn=run.execution_arn)["status"])

    def items(self, partition: str) -> dict[str, Item]:
        """The items of a partition of the run record, by their sort keys."""
        pages = (
            self.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.stack.stack.run_table,
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": partition}},
            )
        )
        found = [
            {name: next(iter(value.values())) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]
        return {item["sk"]: item for item in found}

    def job_runs(self, resource_id: str) -> dict[str, str]:
        """The states of all steps of a cluster or of all job runs of an application, in the words of a job run.

        An application that is gone takes them along.
        """
        if resource_id.startswith(_CLUSTER):
            pages = self.client("emr").get_paginator("list_steps").paginate(ClusterId=resource_id)
            steps = {step["Id"]: step["Status"]["State"] for page in pages for step in page["Steps"]}
            return {step_id: _STEP_STATES.get(state, state) for step_id, state in steps.items()}
        emr = self.client("emr-serverless")
        pages = emr.get_paginator("list_job_runs").paginate(applicationId=resource_id)
        try:
            return {job_run["id"]: job_run["state"] for page in pages for job_run in page["jobRuns"]}
        except emr.exceptions.ResourceNotFoundException:
            return {}

    def is_terminated(self, resource_id: str) -> bool:
        """Tell whether an application or a cluster is gone."""
        if resource_id.startswith(_CLUSTER):
            described = self.client("emr").describe_cluster(ClusterId=resource_id)["Cluster"]
            return str(described["Status"]["State"]) in {"TERMINATED", "TERMINATED_WITH_ERRORS"}
        emr = self.client("emr-serverless")
        try:
            return bool(emr.get_application(applicationId=resource_id)["application"]["state"] == "TERMINATED")
        except emr.exceptions.ResourceNotFoundException:
            return True

    def has_stack(self, name: str) -> bool:
        """Tell whether there is a CloudFormation stack of a name."""
        cloudformation = self.client("cloudformation")
        try:
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except cloudformation.exceptions.ClientError:
            return False
        return bool(stack["StackStatus"] != "DELETE_COMPLETE")

    def notifications(self, run: ChaosRun) -> list[str]:
        """The ends that notifications have told of a run; those of sweeps may name it, too."""
        self._listen("notifications")
        told = [message for message in self.told["notifications"] if run.run_id in message["Message"]]
        states = [message["MessageAttributes"]["state"]["Value"] for message in told]
        return [state for state in states if state != "SWEPT"]

    def events(self, run: ChaosRun) -> Counter[str]:
        """How often each domain event about the end of a run or of its jobs has been published, by its id."""
        self._listen("events")
        return Counter(
            event["detail"]["id"]
            for event in self.told["events"]
            if event["detail"].get("run") == run.run_id and _END.fullmatch(event["detail-type"])
        )

    def sweep(self) -> None:
        """Run the scheduled sweep now."""
        name = self.stack.stack.sweep_function
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"graceSeconds": 0}))
        assert "FunctionError" not in answer, answer["Payload"].read()

    def redrive(self) -> None:
        """Send what is in the dead-letter queues again, as an operator does when the cause is mended."""
        with held(self.stack.stack) as letters:
            for letter in list(letters):
                redrive(letter)
                letters.remove(letter)
                self.redriven += 1

    def open_executions(self) -> list[str]:
        """The executions of all state machines that run."""
        states = self.client("stepfunctions")
        machines = [machine["stateMachineArn"] for machine in states.list_state_machines()["stateMachines"]]
        return [
            execution["name"]
            for machine in machines
            for execution in states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        ]

    def dead_letters(self) -> list[str]:
        """The bodies of the messages in the dead-letter queues."""
        stack = self.stack.stack
        urls = (
            stack.rejected_trigger_queue_url,
            stack.trigger_dead_letter_queue_url,
            stack.event_dead_letter_queue_url,
        )
        bodies = []
        for url in urls:
            answer = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
            bodies += [message["Body"] for message in answer.get("Messages", [])]
        return bodies

    def logs(self) -> str:
        """Everything that the functions have logged."""
        logs = self.client("logs")
        groups = [
            group["logGroupName"]
            for page in logs.get_paginator("describe_log_groups").paginate()
            for group in page["logGroups"]
        ]
        return "\n".join(
            event["message"]
            for group in groups
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
        )

    def _listen(self, what: str) -> None:
        sqs, url = self.client("sqs"), self.queues[what]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.told[what].append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _ask(self, faults: Item | None) -> dict[str, list[int]]:
        body = None if faults is None else json.dumps(faults).encode()
        with urllib.request.urlopen(f"{self.stack.aws.endpoint_url}/_faults", body, timeout=30) as answer:  # noqa: S310 -- loopback
            struck: dict[str, list[int]] = json.loads(answer.read())
            return struck


@contextmanager
def world() -> Iterator[World]:
    """A local AWS with faults, whose jobs only take time, and the stack on it."""
    with pytest.MonkeyPatch.context() as patch:
        for setting, value in {**_FAST, **_RETRIES}.items():
            patch.setenv(setting, value)
        with lifecycle.start(port=0, faults=True) as server:
            for setting, value in server.environment().items():
                patch.setenv(setting, value)
            stack = deploy(LocalAwsUnderTest(server), "chaos", **_PARAMETERS)
            stack.put(TEMPLATE.name, TEMPLATE.read_text())
            yield World(stack, _listeners(stack))


def _listeners(stack: DeployedStack) -> dict[str, str]:
    """Make a queue for notifications and one for domain events."""
    sqs = stack.aws.client("sqs")
    queues = {what: sqs.create_queue(QueueName=f"chaos-{what}")["QueueUrl"] for what in ("notifications", "events")}
    arns = {
        what: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for what, url in queues.items()
    }
    topic = stack.stack.notification_topic_arn
    stack.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["notifications"])
    events = stack.aws.client("events")
    events.put_rule(Name="chaos-events", EventPattern=json.dumps({"source": ["emr-pipelines"]}))
    events.put_targets(Rule="chaos-events", Targets=[{"Id": "queue", "Arn": arns["events"]}])
    return queues
