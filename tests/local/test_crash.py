"""The whole stack on a local AWS that is killed with -9: nothing is lost, runs end as failed, a repair goes on."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually
from tests.local.deployed import DeployedStack, confirm_subscription, deploy
from tests.local.test_emr_serverless_killed import commands_of, session_of

pytestmark = [pytest.mark.chaos, pytest.mark.spark]

BUSY_SECONDS = 120.0
DONE = 'print("done")\n'
WAITS = "import time\ntime.sleep(600)\n"
DEFINITION: dict[str, Any] = {
    "name": "crashed",
    "application": {
        "releaseLabel": "emr-7.9.0",
        "type": "SPARK",
        "schedulerConfiguration": {"maxConcurrentRuns": 1},
    },
    "jobs": [
        {
            "name": name,
            **depends,
            "jobDriver": {"sparkSubmit": {"entryPoint": f"s3://{{{{ stack.bucket }}}}/jobs/{program}"}},
        }
        for name, program, depends in (
            ("done", "done.py", {}),
            ("first", "waits.py", {"dependsOn": ["done"]}),
            ("second", "waits.py", {"dependsOn": ["done"]}),
            ("last", "done.py", {"dependsOn": ["first", "second"]}),
        )
    ],
}
PIPELINE = """\
name: kept
triggers:
  uploads: [{prefix: landing/kept/}]
  schedules: [{expression: "cron(0 14 ? * FRI *)", timezone: Europe/Dublin}]
  events: [{pattern: {source: [elsewhere]}}]
application: {releaseLabel: emr-7.9.0, type: SPARK}
jobs:
  - name: only
    jobDriver: {sparkSubmit: {entryPoint: "s3://{{ stack.bucket }}/jobs/done.py"}}
"""


def test_nothing_is_lost_and_a_repair_goes_on_when_the_server_is_killed_under_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "START_SECONDS", BUSY_SECONDS)
    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        port = server.port
        stack = deploy(LocalAwsUnderTest(server), "crash", NotificationEmail="team@example.com")
        confirm_subscription(stack.aws)
        stack.put("jobs/done.py", DONE)
        stack.put("jobs/waits.py", WAITS)
        stack.register("kept.yaml", PIPELINE)
        queue = stack.aws.client("sqs").create_queue(QueueName="kept")["QueueUrl"]
        for body in ("taken", "received", "waits"):
            stack.aws.client("sqs").send_message(QueueUrl=queue, MessageBody=body)
        take(stack, queue)
        stack.aws.client("sqs").receive_message(QueueUrl=queue)  # and does not delete it
        run = start(stack, definition=DEFINITION)
        eventually(lambda: sorted(states(stack, run).values()) == ["QUEUED", "RUNNING", "SUCCESS"], BUSY_SECONDS, 0.2)
        (running,) = (name for name, state in states(stack, run).items() if state == "RUNNING")
        driver = eventually(lambda: session_of(stack.item(run, f"JOB#{running}")["job_run_id"]))
        before = resources(stack)
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not commands_of(driver))
        eventually(lambda: not commands_of(server.pid))

    with lifecycle.start(port=port, data_dir=tmp_path) as server:
        assert resources(stack) == before
        assert {take(stack, queue), take(stack, queue)} == {"received", "waits"}
        ended = stack.aws.client("stepfunctions").describe_execution(executionArn=run)
        assert (ended["status"], ended["cause"]) == ("FAILED", "The local AWS ended while this was under way.")
        eventually(lambda: stack.item(run).get("state") == "FAILED", BUSY_SECONDS, 0.2)
        jobs = {"done": "SUCCESS", "first": "FAILED", "second": "FAILED"}.items()
        eventually(lambda: jobs <= states(stack, run).items(), BUSY_SECONDS, 0.2)
        assert stack.item(run)["cause"] == ended["cause"]

        stack.put("jobs/waits.py", DONE)
        repair = start(stack, repair=run.rpartition(":")[2])
        assert stack.ended(repair, BUSY_SECONDS) == "SUCCEEDED"
        assert states(stack, repair) == dict.fromkeys(("done", "first", "second", "last"), "SUCCESS")
        reused = {name: stack.item(repair, f"JOB#{name}").get("reused_from") for name in ("done", "first")}
        assert reused == {"done": run.rpartition(":")[2], "first": None}
        about_failure = [email for email in stack.emails(run) if email["subject"].startswith("crashed failed")]
        assert len(about_failure) == 1
        assert stack.ended(stack.upload("kept"), BUSY_SECONDS) == "SUCCEEDED"


def start(stack: DeployedStack, **run: Any) -> str:
    """Start a run as the console does; returns the ARN of its execution."""
    started = stack.aws.client("stepfunctions").start_execution(
        stateMachineArn=stack.stack.pipeline_state_machine_arn, input=json.dumps(run)
    )
    arn: str = started["executionArn"]
    return arn


def states(stack: DeployedStack, run: str) -> dict[str, str]:
    """Return the states of the jobs of a run that EMR knows."""
    names = [job["name"] for job in DEFINITION["jobs"]]
    found = {name: stack.item(run, f"JOB#{name}").get("state", "NOT_SUBMITTED") for name in names}
    return {name: state for name, state in found.items() if state not in {"NOT_SUBMITTED", "SKIPPED"}}


def take(stack: DeployedStack, queue: str) -> str:
    """Receive a message and delete it; returns its body."""
    sqs = stack.aws.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    body: str = message["Body"]
    return body


def resources(stack: DeployedStack) -> dict[str, Any]:
    """Return what there is, as the services list it."""
    client = stack.aws.client
    objects = client("s3").list_object_versions(Bucket=stack.stack.bucket)["Versions"]
    listed = client("cloudformation").list_stack_resources(StackName=stack.stack.name)["StackResourceSummaries"]
    return {
        "objects": {(found["Key"], found["VersionId"], found["ETag"]) for found in objects},
        "stack": client("cloudformation").describe_stacks(StackName=stack.stack.name)["Stacks"][0]["StackStatus"],
        "resources": {found["PhysicalResourceId"] for found in listed},
        "functions": {
            (found["FunctionName"], found["CodeSha256"]) for found in client("lambda").list_functions()["Functions"]
        },
        "machines": {found["name"] for found in client("stepfunctions").list_state_machines()["stateMachines"]},
        "rules": {found["Name"]: found.get("EventPattern") for found in client("events").list_rules()["Rules"]},
        "schedules": [found["Arn"] for found in client("scheduler").list_schedules()["Schedules"]],
        "subscriptions": {found["SubscriptionArn"] for found in client("sns").list_subscriptions()["Subscriptions"]},
        "roles": {found["RoleName"] for found in client("iam").list_roles()["Roles"]},
        "alarms": {found["AlarmName"] for found in client("cloudwatch").describe_alarms()["MetricAlarms"]},
        "pipeline": stack.registered("kept"),
        "applications": {found["id"] for found in client("emr-serverless").list_applications()["applications"]},
    }
