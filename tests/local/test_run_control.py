"""What a run is allowed on the whole local stack: how many at a time, for how long, and with how many jobs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually
from tests.local.deployed import DeployedStack, deploy

pytestmark = pytest.mark.spark

ENDLESS = "import time\ntime.sleep(600)\n"
# Asks for more than its application has, so EMR fails it without a driver: as cheap as a job can be.
CHEAP = "--conf spark.driver.cores=16 --conf spark.driver.memory=40g"
JOBS = 100
BUSY_SECONDS = 400.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """The stack on a local AWS that lets a hundred job runs be submitted at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMRP_API_QUOTAS", "off")
        with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("run-control")) as server:
            deployed = deploy(LocalAwsUnderTest(server), "run-control")
            deployed.put("jobs/endless.py", ENDLESS)
            deployed.put("jobs/empty.py", "")
            yield deployed


@pytest.fixture(scope="module", autouse=True)
def limited(stack: DeployedStack) -> str:
    """A run that is to end after a minute; its time passes beside the other tests."""
    return start(stack, "in-a-minute", [job("a", "endless"), job("b", dependsOn=["a"])], timeoutMinutes=1)


def job(name: str, program: str = "empty", parameters: str = "", **fields: Any) -> dict[str, Any]:
    """A job that runs one of the programs."""
    driver = {"entryPoint": f"s3://{{{{ stack.bucket }}}}/jobs/{program}.py"}
    if parameters:
        driver["sparkSubmitParameters"] = parameters
    return {"name": name, "jobDriver": {"sparkSubmit": driver}, **fields}


def start(stack: DeployedStack, pipeline: str, jobs: list[dict[str, Any]], **fields: Any) -> str:
    """Start a run of a pipeline that is registered nowhere; returns the ARN of its execution."""
    application = {
        "releaseLabel": "emr-7.9.0",
        "type": "SPARK",
        "maximumCapacity": {"cpu": "12 vCPU", "memory": "48 GB"},
    }
    return stack.start(pipeline, application, jobs, **fields)


def stop(stack: DeployedStack, execution_arn: str) -> None:
    stack.aws.client("stepfunctions").stop_execution(executionArn=execution_arn)


def entered(stack: DeployedStack, execution_arn: str, state: str) -> None:
    """Wait until an execution has entered a state."""
    eventually(lambda: state in stack.path(execution_arn))


def job_state(stack: DeployedStack, execution_arn: str, name: str) -> str:
    return str(stack.item(execution_arn, f"JOB#{name}").get("state"))


def run_state(stack: DeployedStack, execution_arn: str, seconds: float = 60.0) -> str:
    """Wait for the end of a run in the record; returns its state."""

    def state() -> str | None:
        found = stack.item(execution_arn).get("state")
        return found if found != "RUNNING" else None

    return eventually(state, seconds)


def running(stack: DeployedStack, execution_arn: str) -> None:
    """Wait until the driver of the one job runs."""
    eventually(lambda: job_state(stack, execution_arn, "a") == "RUNNING", 60)


def test_every_job_runs_after_its_upstream_when_a_run_has_a_hundred(stack: DeployedStack) -> None:
    middle = [f"m{number}" for number in range(JOBS - 2)]
    jobs = [
        job("a", parameters=CHEAP),
        *(job(name, parameters=CHEAP, dependsOn=["a"], runIf="ALL_DONE") for name in middle),
        job("z", parameters=CHEAP, dependsOn=middle, runIf="ALL_DONE"),
    ]
    execution = start(stack, "hundred", jobs)

    assert run_state(stack, execution, BUSY_SECONDS) == "FAILED"
    items = {name: stack.item(execution, f"JOB#{name}") for name in ("a", *middle, "z")}
    assert {item["state"] for item in items.values()} == {"FAILED"}
    assert len({item["job_run_id"] for item in items.values()}) == JOBS
    submitted = {name: min(item["states"]) for name, item in items.items()}
    assert all(submitted[name] > items["a"]["ended_at"] for name in middle)
    assert submitted["z"] > max(items[name]["ended_at"] for name in middle)


def test_run_waits_for_its_turn_when_the_pipeline_allows_one_at_a_time(stack: DeployedStack) -> None:
    first = start(stack, "one-by-one", [job("a", "endless")], concurrency={"limit": 1})
    running(stack, first)
    second = start(stack, "one-by-one", [job("a")], concurrency={"limit": 1})
    entered(stack, second, "Wait For Slot")
    assert job_state(stack, second, "a") == "NOT_SUBMITTED"

    stop(stack, first)

    assert stack.ended(second) == "SUCCEEDED"
    assert run_state(stack, first) == "CANCELLED"


def test_oldest_run_makes_room_when_that_is_the_policy(stack: DeployedStack) -> None:
    policy = {"limit": 1, "policy": "cancelOldest"}
    first = start(stack, "newest-wins", [job("a", "endless")], concurrency=policy)
    running(stack, first)

    second = start(stack, "newest-wins", [job("a")], concurrency=policy)

    assert stack.ended(second) == "SUCCEEDED"
    assert run_state(stack, first) == "CANCELLED"
    assert stack.active_job_runs(first) == []


def test_run_is_skipped_when_that_is_the_policy(stack: DeployedStack) -> None:
    policy = {"limit": 1, "policy": "skip"}
    first = start(stack, "first-wins", [job("a", "endless")], concurrency=policy)
    running(stack, first)

    second = start(stack, "first-wins", [job("a")], concurrency=policy)

    assert stack.ended(second) == "SUCCEEDED"
    assert stack.path(second)[-1] == "Run Skipped"
    assert run_state(stack, second) == "SKIPPED"
    stop(stack, first)


def test_streaming_job_runs_until_it_is_cancelled_when_it_never_ends(stack: DeployedStack) -> None:
    execution = start(stack, "streaming", [job("a", "endless", mode="STREAMING"), job("b", dependsOn=["a"])])
    running(stack, execution)

    stop(stack, execution)

    assert run_state(stack, execution) == "CANCELLED"
    eventually(lambda: job_state(stack, execution, "a") == "CANCELLED")
    assert job_state(stack, execution, "b") == "CANCELLED"
    assert stack.active_job_runs(execution) == []


def test_every_attempt_is_in_the_record_when_emr_retries_a_job(stack: DeployedStack) -> None:
    stack.put("jobs/failing.py", "raise SystemExit('told to fail')\n")
    execution = start(stack, "retried", [job("a", "failing", retryPolicy={"maxAttempts": 2})])

    assert stack.ended(execution) == "FAILED"
    item = stack.item(execution, "JOB#a")
    history = json.loads(item["attempt_history"])
    assert [(attempt["attempt"], attempt["state"]) for attempt in history] == [(1, "FAILED"), (2, "FAILED")]
    billed = json.loads(item["resources"])
    assert sum(attempt["vCpuHours"] for attempt in history) == pytest.approx(billed["vCPUHour"], abs=0.01)


def test_run_times_out_and_leaves_nothing_behind_when_its_time_is_over(stack: DeployedStack, limited: str) -> None:
    assert stack.ended(limited) == "FAILED"
    item = stack.item(limited)
    assert (item["state"], item["error"]) == ("TIMED_OUT", "RunTimedOutError")
    eventually(lambda: job_state(stack, limited, "a") == "CANCELLED")
    assert job_state(stack, limited, "b") == "CANCELLED"
    assert stack.active_job_runs(limited) == []
