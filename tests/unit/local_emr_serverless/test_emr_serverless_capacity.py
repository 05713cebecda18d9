"""The local EMR Serverless: worker sizes, maximum capacity and resource figures."""

from pathlib import Path
from typing import Any

import pytest

from emrp.local.emr_serverless.application import Application, with_defaults
from emrp.local.emr_serverless.configuration import merged
from emrp.local.emr_serverless.job_run import JobRun
from emrp.local.emr_serverless.workers import Resources, Workers, workers_of
from tests.unit.local_emr_serverless.harness import ROLE, Harness

SMALL = "--conf spark.driver.cores=1 --conf spark.executor.cores=1 --driver-memory 1g --executor-memory 1g"
ONE_EXECUTOR = f"{SMALL} --conf spark.dynamicAllocation.enabled=false --num-executors 1"

OVERHEAD = "--conf spark.driver.memoryOverhead=1024 --conf spark.driver.memory=1g"
SMALL_TASKS = {
    "classification": "hive-site",
    "properties": {"hive.tez.container.size": "4096", "hive.tez.cpu.vcores": "1"},
}


def spark(parameters: str = "") -> dict[str, Any]:
    submit = {"entryPoint": "s3://bucket/job.py"}
    return {"sparkSubmit": submit | ({"sparkSubmitParameters": parameters} if parameters else {})}


def workers(engine: str, job_driver: dict[str, Any], overrides: list[dict[str, Any]] | None = None) -> Workers:
    configuration = with_defaults({"releaseLabel": "emr-7.9.0", "type": engine})
    application = Application("00app", "000000000000", "us-east-1", configuration)
    request = {"jobDriver": job_driver, "executionRoleArn": ROLE}
    effective = merged(configuration, {"applicationConfiguration": overrides or []})
    return workers_of(JobRun("00job", application, request, effective, "emr-7.9.0", "me"))


@pytest.mark.parametrize(
    ("engine", "job_driver", "overrides", "least"),
    [
        ("SPARK", spark(), None, Resources(8, 32, 40)),
        ("SPARK", spark(ONE_EXECUTOR), None, Resources(2, 4, 40)),
        ("SPARK", spark(OVERHEAD), None, Resources(8, 18, 40)),
        (
            "SPARK",
            spark(),
            [{"classification": "spark-defaults", "properties": {"spark.emr-serverless.executor.disk": "100g"}}],
            Resources(8, 32, 120),
        ),
        (
            "HIVE",
            {"hive": {"query": "SELECT 1"}},
            [SMALL_TASKS],
            Resources(3, 10, 40),
        ),
    ],
)
def test_workers_have_the_sizes_of_the_service_when_a_job_names_some(
    engine: str, job_driver: dict[str, Any], overrides: list[dict[str, Any]] | None, least: Resources
) -> None:
    assert workers(engine, job_driver, overrides).allocated == least


def test_executors_are_added_when_there_is_room() -> None:
    growing = workers("SPARK", spark())
    growing.grow_into(Resources(14, 1000, 1000), [])
    assert growing.executors == 2
    growing.grow_into(Resources(1000, 1000, 1000), [])
    assert growing.executors == 3


def test_a_minute_is_billed_when_a_job_is_shorter() -> None:
    figures = workers("SPARK", spark(ONE_EXECUTOR)).figures(17.2)
    assert figures.used.as_members() == {"vCPUHour": 0.01, "memoryGBHour": 0.02, "storageGBHour": 0.2}
    assert figures.billed.as_members() == {"vCPUHour": 0.033, "memoryGBHour": 0.067, "storageGBHour": 0}


async def test_job_run_waits_when_the_maximum_capacity_is_in_use(emr: Harness) -> None:
    application = emr.create_application(maximumCapacity={"cpu": "3 vCPU", "memory": "100 GB"})
    first, second = (emr.start_job_run(application, jobDriver=spark(ONE_EXECUTOR)) for _ in range(2))
    await emr.job_run_reaches(application, first, "RUNNING")
    await emr.job_run_reaches(application, second, "PENDING")
    emr.driver_of(first).finish()
    await emr.job_run_reaches(application, second, "RUNNING")


@pytest.mark.parametrize(
    ("cpu", "details"),
    [
        ("1 vCPU", "Job failed as application has exceeded maximumCapacity settings."),
        ("4 vCPU", "Job failed due to Worker could not be allocated as the application has exceeded maximumCapacity."),
    ],
)
async def test_job_run_fails_when_it_can_never_fit_into_the_maximum_capacity(
    emr: Harness, cpu: str, details: str
) -> None:
    application = emr.create_application(maximumCapacity={"cpu": cpu, "memory": "1000 GB"})
    job_run = emr.start_job_run(application)
    described = await emr.job_run_reaches(application, job_run, "FAILED")
    assert described["stateDetails"] == details


async def test_final_utilization_is_published_when_a_job_run_ends(emr: Harness) -> None:
    application = emr.create_application()
    job_run = emr.start_job_run(application)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[0].finish()
    described = await emr.job_run_reaches(application, job_run, "SUCCESS")

    kind, detail = emr.events[-1]
    assert kind == "EMR Serverless Job Resource Utilization Update"
    assert detail["resourceUtilizationFinal"] is True
    assert (detail["jobRunId"], detail["attempt"], detail["mode"]) == (job_run, 1, "BATCH")
    assert detail["totalBilledResourceUtilization"] == described["billedResourceUtilization"]
    assert described["billedResourceUtilization"] == {"vCPUHour": 0.267, "memoryGBHour": 1.067, "storageGBHour": 0}
    assert described["totalResourceUtilization"]["vCPUHour"] > 0
    assert detail["startedAt"] <= detail["calculatedTo"]


async def test_utilization_is_published_regularly_when_a_job_run_is_long(tmp_path: Path) -> None:
    async with Harness(tmp_path, seconds_per_minute=0.0001) as emr:
        application = emr.create_application(autoStopConfiguration={"enabled": False})
        emr.start_job_run(application, executionTimeoutMinutes=0)
        kind = "EMR Serverless Job Resource Utilization Update"
        await emr.until(lambda: sum(published == kind for published, _ in emr.events) >= 2)
        assert not any(detail["resourceUtilizationFinal"] for published, detail in emr.events if published == kind)


INITIAL_CAPACITY = {"DRIVER": {"workerCount": 1, "workerConfiguration": {"cpu": "2 vCPU", "memory": "4 GB"}}}


async def test_application_starts_when_its_initial_capacity_is_ready(emr: Harness) -> None:
    application = emr.create_application(initialCapacity=INITIAL_CAPACITY)
    job_run = emr.start_job_run(application)
    await emr.until(lambda: bool(emr.warm_drivers))
    assert emr.client.get_application(applicationId=application)["application"]["state"] == "STARTING"
    emr.warm_drivers[0].ready.set()
    await emr.job_run_reaches(application, job_run, "RUNNING")


async def test_initial_capacity_is_released_when_the_application_stops(emr: Harness) -> None:
    application = emr.create_application(initialCapacity=INITIAL_CAPACITY)
    await emr.application_reaches(application, "CREATED")
    emr.client.start_application(applicationId=application)
    await emr.until(lambda: bool(emr.warm_drivers))
    emr.client.stop_application(applicationId=application)  # while it is still STARTING
    await emr.application_reaches(application, "STOPPED")
    assert emr.warm_drivers[0].stopped
