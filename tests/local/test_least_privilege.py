"""With IAM enforced, a permission that the template does not grant is missed; `test_main_path.py` misses none."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from emrp.local import ACCOUNT_ID, REGION
from tests.local.deployed import DeployedStack

READ_ALL = """\
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.read.text("s3://{bucket}/landing/").count())
"""
FINE = 'print("done")\n'


@pytest.fixture(scope="module")
def stack(enforced_stack: DeployedStack) -> DeployedStack:
    return enforced_stack


@contextmanager
def statements_changed(
    stack: DeployedStack, role: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[None]:
    """Change every statement of a role's policies, named as in the template, for a while."""
    iam = stack.aws.client("iam")
    name = stack.physical_name(role)
    policies = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    changed = {
        policy: document | {"Statement": [change(statement) for statement in document["Statement"]]}
        for policy, document in policies.items()
    }
    assert changed != policies
    put_policies(iam, name, changed)
    try:
        yield
    finally:
        put_policies(iam, name, policies)


def put_policies(iam: Any, role: str, policies: dict[str, Any]) -> None:
    for policy, document in policies.items():
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


def without(action: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A change that takes an action out of a statement."""

    def change(statement: dict[str, Any]) -> dict[str, Any]:
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        return statement | {"Action": [kept for kept in actions if kept != action] or ["none:Nothing"]}

    return change


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("PlanRunFunctionRole", "dynamodb:GetItem"),
        ("PlanRunFunctionRole", "dynamodb:PutItem"),
        ("LaunchApplicationFunctionRole", "emr-serverless:CreateApplication"),
        ("LaunchApplicationFunctionRole", "emr-serverless:TagResource"),
        ("AddJobRunFunctionRole", "emr-serverless:StartJobRun"),
        ("AddJobRunFunctionRole", "iam:PassRole"),
        ("PipelineStateMachineRole", "lambda:InvokeFunction"),
        ("PipelineStateMachineRole", "states:StartExecution"),
        ("PipelineStateMachineRole", "events:PutRule"),
        ("JobRunStateMachineRole", "lambda:InvokeFunction"),
    ],
)
def test_run_fails_when_a_permission_is_missing(stack: DeployedStack, role: str, action: str) -> None:
    pipeline = stack.add_pipeline(FINE)
    with statements_changed(stack, role, without(action)):
        execution = stack.upload(pipeline)

        assert stack.ended(execution) == "FAILED"
        assert f"not authorized to perform: {action}" in reasons(stack, execution)


def reasons(stack: DeployedStack, execution: str) -> str:
    """Whatever the execution and those that it started say about their failures."""
    inner = stack.item(execution, "JOB#only").get("execution_arn")
    arns = [execution] + ([inner] if inner else [])
    return json.dumps([stack.aws.history(arn) for arn in arns], default=str)


@pytest.mark.spark
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket"])
def test_job_fails_when_its_role_may_not_read(stack: DeployedStack, action: str) -> None:
    pipeline = stack.add_pipeline(READ_ALL.format(bucket=stack.stack.bucket))
    with statements_changed(stack, "JobRole", without(action)):
        execution = stack.upload(pipeline)

        assert stack.ended(execution) == "FAILED"
        assert "403" in stack.item(execution, "JOB#only")["state_details"]


def test_function_changes_only_applications_of_its_stack_when_there_are_others(stack: DeployedStack) -> None:
    tags = {"emr-pipelines:stack": stack.stack.name}
    application = {"releaseLabel": "emr-7.9.0", "type": "SPARK"}
    foreign = stack.aws.client("emr-serverless").create_application(name="foreign", **application)["applicationId"]
    function = client_as(stack, "LaunchApplicationFunctionRole", "emr-serverless")
    own = function.create_application(name="own", tags=tags, **application)["applicationId"]

    assert function.get_application(applicationId=foreign)["application"]["state"] == "CREATED"
    function.update_application(applicationId=own, autoStopConfiguration={"enabled": False})
    with refusal("emr-serverless:UpdateApplication"):
        function.update_application(applicationId=foreign, autoStopConfiguration={"enabled": False})
    with refusal("emr-serverless:CreateApplication"):
        function.create_application(name="untagged", **application)
    with refusal("emr-serverless:DeleteApplication"):
        function.delete_application(applicationId=own)


def refusal(action: str) -> AbstractContextManager[object]:
    """Expect that an action is denied."""
    return pytest.raises(ClientError, match=f"AccessDenied.* is not authorized to perform: {action} on resource: ")


def client_as(stack: DeployedStack, role: str, service: str) -> Any:
    """A client with the permissions of a role of the stack."""
    name = stack.physical_name(role)
    assumed = stack.aws.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/{name}", RoleSessionName="test"
    )["Credentials"]
    session: Any = boto3.Session(
        assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"], region_name=REGION
    )
    return session.client(service, endpoint_url=stack.aws.endpoint_url)


def test_upload_starts_nothing_when_the_queue_does_not_let_the_rule_in(stack: DeployedStack) -> None:
    pipeline = stack.add_pipeline(FINE)
    sqs = stack.aws.client("sqs")
    queue = stack.physical_name("TriggerQueue")
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]["Policy"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    stack.put(f"landing/{pipeline}/lost.csv", "x")
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})

    stack.ended(stack.upload(pipeline, name="found.csv"))

    assert stack.execution_for(f"landing/{pipeline}/lost.csv") is None
