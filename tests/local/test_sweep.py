"""The whole local stack, broken on purpose: after a sweep nothing is left, and every record tells the truth."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually
from tests.local.deployed import EMR_RULE, ROOT, DeployedStack, deploy

SECONDS = 150.0
END_RULE = "ExecutionEndedRule"
FINAL = {"SUCCESS", "FAILED", "CANCELLED"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsUnderTest]:
    """A local AWS that enforces IAM, and whose jobs only take time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMRP_SIMULATED_JOB_SECONDS", "0")
        with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("sweep"), enforce_iam=True) as server:
            yield LocalAwsUnderTest(server)


@pytest.fixture(scope="module")
def stack(aws: LocalAwsUnderTest) -> DeployedStack:
    return deploy(aws, "sweep")


def start(stack: DeployedStack, seconds: int, lifecycle: str = "transient") -> str:
    """Start a run whose one job takes so many seconds; returns the ARN of its execution."""
    driver = {"entryPoint": "s3://{{ stack.bucket }}/jobs/x.py", "entryPointArguments": [f"seconds={seconds}"]}
    application = {"releaseLabel": "emr-7.9.0", "type": "SPARK", "lifecycle": lifecycle}
    return stack.start("swept", application, [{"name": "only", "jobDriver": {"sparkSubmit": driver}}])


def submitted(stack: DeployedStack, execution: str) -> str:
    """Wait until the job of a run has a job run; returns its id."""
    job_run_id: str = eventually(lambda: stack.item(execution, "JOB#only").get("job_run_id"), SECONDS)
    return job_run_id


def job_run_state(stack: DeployedStack, execution: str) -> str:
    """What EMR says about the job run of a run."""
    job = stack.item(execution, "JOB#only")
    answer = stack.aws.client("emr-serverless").get_job_run(
        applicationId=job["application_id"], jobRunId=job["job_run_id"]
    )
    state: str = answer["jobRun"]["state"]
    return state


def applications(stack: DeployedStack) -> list[str]:
    """The states of the applications that are there."""
    listed = stack.aws.client("emr-serverless").list_applications()["applications"]
    return [application["state"] for application in listed if application["state"] != "TERMINATED"]


def sweep(stack: DeployedStack, *options: str) -> list[dict[str, str]]:
    """Run `emrp sweep` without any grace; returns what it has found."""
    command = [sys.executable, "-m", "emrp.cli", "--local", "--port", str(stack.aws.server.port)]
    command += ["--stack", stack.stack.name, "sweep", "--older-than", "0", "--json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    leftovers: list[dict[str, str]] = json.loads(done.stdout)["leftovers"]
    return leftovers


def nothing_left(stack: DeployedStack) -> bool:
    """Sweep once more; tell whether that was for nothing."""
    return not sweep(stack)


def mails(stack: DeployedStack, text: str) -> list[dict[str, str]]:
    return [email for email in stack.aws.inbox() if text in email["body"]]


def test_everything_ends_with_the_truth_when_all_events_are_lost_and_the_execution_is_killed(
    stack: DeployedStack,
) -> None:
    with stack.lost(EMR_RULE, END_RULE):
        # The application's events are lost too, so the run waits for its application until it is killed.
        execution = start(stack, seconds=600)
        eventually(lambda: "STARTED" in applications(stack), SECONDS, every=0.5)
        stack.aws.client("stepfunctions").stop_execution(executionArn=execution)
        assert stack.item(execution)["state"] == "RUNNING"

        (found,) = sweep(stack, "--dry-run")
        assert found["kind"] == "RUN_NOT_ENDED"
        assert stack.item(execution)["state"] == "RUNNING"
        assert sweep(stack) == [found]
        eventually(lambda: nothing_left(stack), SECONDS, every=0.5)

    assert stack.item(execution)["state"] == "CANCELLED"
    assert stack.item(execution, "JOB#only")["state"] == "CANCELLED"
    assert applications(stack) == []


def test_job_run_is_cancelled_and_its_end_recorded_when_the_run_was_killed_and_no_event_tells(
    stack: DeployedStack,
) -> None:
    execution = start(stack, seconds=600)
    submitted(stack, execution)
    eventually(lambda: job_run_state(stack, execution) == "RUNNING", SECONDS, every=0.5)

    with stack.lost(EMR_RULE, END_RULE):
        stack.aws.client("stepfunctions").stop_execution(executionArn=execution)
        eventually(lambda: nothing_left(stack), SECONDS, every=0.5)

    assert stack.item(execution)["state"] == "CANCELLED"
    assert stack.item(execution, "JOB#only")["state"] == job_run_state(stack, execution) == "CANCELLED"
    assert applications(stack) == []


def test_run_goes_on_when_a_sweep_sees_the_end_that_nobody_told(stack: DeployedStack) -> None:
    execution = start(stack, seconds=3)
    submitted(stack, execution)
    with stack.lost(EMR_RULE):
        eventually(lambda: job_run_state(stack, execution) == "SUCCESS", SECONDS, every=0.5)
        found = sweep(stack)

    assert [leftover["kind"] for leftover in found] == ["JOB_NOT_ENDED"]
    assert stack.ended(execution) == "SUCCEEDED"
    assert stack.item(execution, "JOB#only")["state"] == "SUCCESS"
    eventually(lambda: nothing_left(stack), SECONDS, every=0.5)
    assert applications(stack) == []


def test_run_that_is_well_is_left_alone_when_it_is_swept(stack: DeployedStack) -> None:
    execution = start(stack, seconds=600)
    submitted(stack, execution)

    assert sweep(stack) == []

    assert stack.active_job_runs(execution) == [stack.item(execution, "JOB#only")["job_run_id"]]
    stack.aws.client("stepfunctions").stop_execution(executionArn=execution)
    eventually(lambda: not applications(stack), SECONDS, every=0.5)
    assert sweep(stack) == []


PIPELINE = """\
name: leaving
triggers:
  schedules: [{expression: rate(1 day)}]
  events: [{pattern: {source: [made.up]}}]
application: {releaseLabel: emr-7.9.0, type: SPARK}
jobs:
  - name: only
    jobDriver: {sparkSubmit: {entryPoint: "s3://{{ stack.bucket }}/jobs/x.py"}}
"""


def test_nothing_is_left_when_the_stack_is_deleted_while_a_job_runs(aws: LocalAwsUnderTest) -> None:
    leaving = deploy(aws, "leaving")
    leaving.register("leaving.yaml", PIPELINE)
    execution = start(leaving, seconds=600)
    submitted(leaving, execution)
    eventually(lambda: job_run_state(leaving, execution) == "RUNNING", SECONDS, every=0.5)
    assert rules(leaving)
    assert functions(leaving)
    foreign = aws.client("emr-serverless").create_application(name="foreign", releaseLabel="emr-7.9.0", type="SPARK")

    cloudformation = aws.client("cloudformation")
    stack_id = cloudformation.describe_stacks(StackName="leaving")["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName="leaving")
    eventually(lambda: status(aws, stack_id) not in {"CREATE_COMPLETE", "DELETE_IN_PROGRESS"}, SECONDS, every=0.5)

    assert status(aws, stack_id) == "DELETE_COMPLETE"
    left = aws.client("emr-serverless").list_applications()["applications"]
    assert [application["id"] for application in left if application["name"] != "foreign"] == []
    assert foreign["applicationId"] in {application["id"] for application in left}
    assert (rules(leaving), functions(leaving), schedule_groups(leaving)) == ([], [], [])


def status(aws: LocalAwsUnderTest, stack_id: str) -> str:
    """The status of a stack, also of one that is deleted."""
    found: str = aws.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]
    return found


def rules(stack: DeployedStack) -> list[str]:
    listed = stack.aws.client("events").list_rules(NamePrefix=stack.stack.name)["Rules"]
    return [rule["Name"] for rule in listed]


def functions(stack: DeployedStack) -> list[str]:
    pages = stack.aws.client("lambda").get_paginator("list_functions").paginate()
    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    return [name for name in names if name.startswith(stack.stack.name)]


def schedule_groups(stack: DeployedStack) -> list[str]:
    listed = stack.aws.client("scheduler").list_schedule_groups(NamePrefix=stack.stack.name)["ScheduleGroups"]
    return [group["Name"] for group in listed]
