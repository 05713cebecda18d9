"""Random pipelines on the whole local stack end as the simulation's do: each job as its upstream jobs let it."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest
from tests.local.deployed import DeployedStack, deploy
from tests.unit.simulation.oracle import runs

SEEDS = (1, 2, 3)
JOBS = 8
# More than the application has: EMR fails the job run without a driver.
TOO_MUCH = "--conf spark.driver.cores=16 --conf spark.driver.memory=40g"
APPLICATION = {"releaseLabel": "emr-7.9.0", "type": "SPARK", "maximumCapacity": {"cpu": "12 vCPU", "memory": "48 GB"}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """The stack on a local AWS whose jobs only take time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMRP_SIMULATED_JOB_SECONDS", "0.2")
        with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("random-pipelines")) as server:
            yield deploy(LocalAwsUnderTest(server), "random-pipelines")


def random_jobs(seed: int) -> list[dict[str, Any]]:
    """Jobs of a pipeline file, in any order; a third of them will fail."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    jobs: list[dict[str, Any]] = []
    for number in range(JOBS):
        upstream = chance.sample([job["name"] for job in jobs], min(len(jobs), chance.randint(0, 3)))
        driver = {"entryPoint": "s3://bucket/job.py"}
        if chance.random() < 1 / 3:
            driver["sparkSubmitParameters"] = TOO_MUCH
        run_if = chance.choice(["ALL_SUCCESS", "ALL_DONE", "AT_LEAST_ONE_SUCCESS", "ANY_FAILED"])
        jobs.append(
            {
                "name": f"j{number}",
                "dependsOn": upstream,
                "runIf": run_if if upstream else "ALL_SUCCESS",
                "jobDriver": {"sparkSubmit": driver},
            }
        )
    return chance.sample(jobs, len(jobs))


def expected_states(jobs: list[dict[str, Any]]) -> dict[str, str]:
    """How each job must end."""
    states: dict[str, str] = {}
    for job in sorted(jobs, key=lambda job: str(job["name"])):
        fails = "sparkSubmitParameters" in job["jobDriver"]["sparkSubmit"]
        is_run = runs(job["runIf"], [states[name] for name in job["dependsOn"]])
        states[job["name"]] = "SKIPPED" if not is_run else "FAILED" if fails else "SUCCESS"
    return states


@pytest.fixture(scope="module")
def executions(stack: DeployedStack) -> dict[int, str]:
    """A run for each seed, all at the same time."""
    return {seed: stack.start(f"random-{seed}", APPLICATION, random_jobs(seed)) for seed in SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_pipeline_ends_as_its_jobs_do_when_some_fail(
    stack: DeployedStack, executions: dict[int, str], seed: int
) -> None:
    jobs, execution = random_jobs(seed), executions[seed]
    expected = expected_states(jobs)

    status = stack.ended(execution)

    items = {name: stack.item(execution, f"JOB#{name}") for name in expected}
    assert {name: item["state"] for name, item in items.items()} == expected
    assert status == stack.item(execution)["state"] == ("FAILED" if "FAILED" in expected.values() else "SUCCEEDED")
    application_id = stack.item(execution)["application_id"]
    answer = stack.aws.client("emr-serverless").list_job_runs(applicationId=application_id)
    job_runs = {job_run["name"]: job_run for job_run in answer["jobRuns"]}
    assert len(job_runs) == len(answer["jobRuns"])
    assert {name: job_run["state"] for name, job_run in job_runs.items()} == {
        name: state for name, state in expected.items() if state != "SKIPPED"
    }
    for job in jobs:
        for other in job["dependsOn"]:
            if job["name"] in job_runs and other in job_runs:
                assert job_runs[other]["updatedAt"] <= job_runs[job["name"]]["createdAt"]
