"""What the unit tests share: DynamoDB and S3 of moto, stand-ins for the rest, and one planned run."""

import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import boto3
import botocore.session
import pytest
from moto import mock_aws

# Read by the handlers when they are imported, as Lambda does.
os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "BUCKET": "bucket",
    "CLUSTER_INSTANCE_PROFILE": "EMR_EC2_DefaultRole",
    "CLUSTER_SERVICE_ROLE": "EMR_DefaultRole",
    "CLUSTER_TEMPLATE_ROLE_ARN": "arn:aws:iam::123456789012:role/template",
    "BURST_MINUTES": "15",
    "BURST_SIZE": "3",
    "EMR_SERVERLESS_PRICES": "",
    "EVENT_DEAD_LETTER_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:emr-pipelines-EventDeadLetterQueue",
    "JOB_ROLE_ARN": "arn:aws:iam::123456789012:role/job",
    "NOTIFICATION_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:topic",
    "PIPELINE_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:emr-pipelines-pipeline",
    "POWERTOOLS_METRICS_NAMESPACE": "EmrPipelines",
    "POWERTOOLS_SERVICE_NAME": "emr-pipelines",
    "REJECTED_TRIGGER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/rejected-triggers",
    "RUN_RETENTION_DAYS": "90",
    "RUN_TABLE": "runs",
    "SCHEDULE_GROUP": "emr-pipelines",
    "SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/schedule",
    "STACK_NAME": "emr-pipelines",
    "TRIGGER_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:emr-pipelines-TriggerQueue",
    "TRIGGER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/triggers",
}

from emr_pipelines.gateways.aws import client as cached_client
from emr_pipelines.gateways.job_outputs import JobOutputs
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.plan_run import plan_run
from emr_pipelines.run import Job
from emr_pipelines.stack import Stack

from emrp.stack import Stack as DeployedStack
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions, FakeTopic
from tests.unit.fakes_emr_on_ec2 import FakeEmrOnEc2, FakeStacks

# The models of the services are read once, not for each client of each test.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

ROOT = Path(__file__).parents[2]
SALARIES = (ROOT / "pipelines" / "salaries.yaml").read_text()
RUN_ID = "salaries-1"
EXECUTION_ARN = f"arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:{RUN_ID}"


def example_event(name: str) -> dict[str, Any]:
    """Return one of the examples in events/."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


@pytest.fixture
def aws() -> Iterator[None]:
    """An empty AWS account."""
    with mock_aws():
        yield


@pytest.fixture
def record(aws: None) -> RunRecord:
    """An empty run record."""
    cached_client("dynamodb").create_table(
        TableName="runs",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "pipeline", "started_at")
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "RunsByPipeline",
                "KeySchema": [
                    {"AttributeName": "pipeline", "KeyType": "HASH"},
                    {"AttributeName": "started_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return RunRecord("runs")


@pytest.fixture
def s3(aws: None) -> Any:
    """S3 with the bucket of the stack and the salaries pipeline in it."""
    client = cached_client("s3")
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="pipelines/salaries.yaml", Body=SALARIES)
    return client


@pytest.fixture
def bucket(s3: Any) -> PipelineBucket:
    """The bucket of the stack."""
    return PipelineBucket("bucket")


@pytest.fixture
def registry(record: RunRecord) -> PipelineRegistry:
    """The registered pipelines: salaries."""
    registry = PipelineRegistry("runs")
    registry.put(check_pipeline("pipelines/salaries.yaml", "salaries", SALARIES, "v1"))
    return registry


@pytest.fixture
def slots(record: RunRecord) -> RunSlots:
    """The slots of pipelines, none of them taken."""
    return RunSlots("runs")


@pytest.fixture
def outputs(s3: Any) -> JobOutputs:
    """What jobs have left in the bucket."""
    return JobOutputs()


@pytest.fixture
def stack() -> Stack:
    """What the stack gives to a run."""
    return Stack("emr-pipelines", "bucket", os.environ["JOB_ROLE_ARN"])


@pytest.fixture
def emr() -> FakeEmrServerless:
    """EMR Serverless with nothing in it."""
    return FakeEmrServerless()


@pytest.fixture
def clusters() -> FakeEmrOnEc2:
    """EMR on EC2 with nothing in it."""
    return FakeEmrOnEc2()


@pytest.fixture
def stacks() -> FakeStacks:
    """No stacks of clusters."""
    return FakeStacks()


@pytest.fixture
def step_functions() -> FakeStepFunctions:
    """Step Functions that nobody has asked for anything."""
    return FakeStepFunctions()


@pytest.fixture
def events() -> FakeDomainEvents:
    """An event bus that nobody has used."""
    return FakeDomainEvents()


@pytest.fixture
def topic() -> FakeTopic:
    """A topic that nobody has used."""
    return FakeTopic()


@pytest.fixture
def planned(record: RunRecord, registry: PipelineRegistry, stack: Stack) -> str:
    """The id of a run of salaries that has been planned for an upload."""
    run_input = example_event("plan_run.upload")["input"]
    plan_run(RUN_ID, EXECUTION_ARN, run_input, record=record, registry=registry, events=FakeDomainEvents(), stack=stack)
    return RUN_ID


@pytest.fixture
def submitted(planned: str, record: RunRecord, emr: FakeEmrServerless) -> Job:
    """Its job, submitted as job run `run1` to the started application `app1`, with the token `token`."""
    emr.applications["app1"] = "STARTED"
    record.set_application_id(planned, "app1")
    job = record.save_task_token(record.get_job(planned, "process"), "token", f"{EXECUTION_ARN}-inner")
    emr.set_job_run("run1", "SUBMITTED")
    return record.link_job_run(job, "app1", "run1")


@dataclass
class LambdaContext:
    """What Lambda tells a handler about its invocation."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "59c1e1c3-4e52-4f4e-8d3b-3e4a0e5d1f10"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def use_gateways(patch: pytest.MonkeyPatch, app: ModuleType, gateways: Mapping[str, Any]) -> None:
    """Let a handler use these gateways for its own, those by themselves and those in its set."""
    for name in gateways.keys() & vars(app).keys():
        patch.setattr(app, name, gateways[name])
    if hasattr(app, "gateways"):
        in_set = {field.name: gateways[field.name] for field in fields(app.gateways)}
        patch.setattr(app, "gateways", type(app.gateways)(**in_set))


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch,
    record: RunRecord,
    registry: PipelineRegistry,
    slots: RunSlots,
    outputs: JobOutputs,
    bucket: PipelineBucket,
    emr: FakeEmrServerless,
    clusters: FakeEmrOnEc2,
    stacks: FakeStacks,
    step_functions: FakeStepFunctions,
    events: FakeDomainEvents,
    topic: FakeTopic,
) -> Callable[..., Any]:
    """Call the handler of a function with an event (or an example's name), as Lambda would."""
    gateways = {
        "record": record,
        "registry": registry,
        "slots": slots,
        "outputs": outputs,
        "bucket": bucket,
        "emr": emr,
        "clusters": clusters,
        "stacks": stacks,
        "step_functions": step_functions,
        "events": events,
        "topic": topic,
    }

    def call(function: str, event: str | dict[str, Any]) -> Any:
        module = importlib.import_module(f"{function}.app")
        use_gateways(monkeypatch, module, gateways)
        payload = example_event(f"{function}.{event}") if isinstance(event, str) else event
        return module.handler(payload, LambdaContext())

    return call


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def emrp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run the command line in this process: arguments -> exit code, what it printed, what it complained."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["emrp", *arguments])
        with pytest.raises(SystemExit) as end:
            importlib.import_module("emrp.cli").main()
        printed = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, printed.out, printed.err

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with mock.patch.dict(os.environ):
        os.environ.pop("COLUMNS", None)  # pytest-xdist tells its processes how wide the terminal is
        yield run


@pytest.fixture
def narrow_terminal(emrp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line believe that its output is a terminal of 80 columns that knows no colours."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")


def deployed_stack(pipeline_state_machine_arn: str = os.environ["PIPELINE_STATE_MACHINE_ARN"]) -> DeployedStack:
    """Return a stack whose outputs are called as what they are, except for those that the tests have."""
    outputs = {field.name: field.name for field in fields(DeployedStack)}
    outputs |= {"name": "emr-pipelines", "bucket": "bucket", "run_table": "runs", "command": "emrp"}
    return DeployedStack(**{**outputs, "pipeline_state_machine_arn": pipeline_state_machine_arn})


@pytest.fixture
def deployed(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> DeployedStack:
    """The stack as the command line finds it; the executions of its state machine run for ever."""
    machine = boto3.client("stepfunctions").create_state_machine(
        name="emr-pipelines-pipeline",
        definition=json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}),
        roleArn="arn:aws:iam::123456789012:role/states",
    )
    stack = deployed_stack(machine["stateMachineArn"])
    monkeypatch.setattr(DeployedStack, "describe", lambda _, command="emrp": replace(stack, command=command))
    return stack
