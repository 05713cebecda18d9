"""The local EMR Serverless: job runs as a boto3 client sees them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emrp.local.emr_serverless.job_run import ENDED_WITH_ITS_SERVER
from emrp.local.spark import InvalidJobDriver
from tests.unit.local_emr_serverless.harness import ROLE, SPARK_JOB, Harness, refusal


async def test_stop_changes_nothing_when_the_application_is_stopped(emr: Harness, application: str) -> None:
    await emr.application_reaches(application, "CREATED")
    emr.client.start_application(applicationId=application)
    await emr.application_reaches(application, "STARTED")
    emr.client.stop_application(applicationId=application)
    await emr.application_reaches(application, "STOPPED")
    emr.events.clear()
    emr.client.stop_application(applicationId=application)
    assert emr.client.get_application(applicationId=application)["application"]["state"] == "STOPPED"
    assert emr.events == []


async def test_job_run_succeeds_when_its_driver_does(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application, name="count")
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[0].finish()
    described = await emr.job_run_reaches(application, job_run, "SUCCESS")

    assert emr.states_of(job_run) == ["SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "SUCCESS"]
    assert described["name"] == "count"
    assert described["executionRole"] == ROLE
    assert described["jobDriver"] == SPARK_JOB
    assert described["mode"] == "BATCH"
    assert described["attempt"] == 1
    assert described["executionTimeoutMinutes"] == 720
    assert described["createdAt"] <= described["startedAt"] <= described["endedAt"]
    assert not emr.drivers[0].request.work_dir.exists()


async def test_job_run_event_has_the_fields_of_the_guide_when_its_state_changes(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    kind, detail = emr.events[-1]
    assert kind == "EMR Serverless Job Run State Change"
    assert detail == {
        "jobRunId": job_run,
        "applicationId": application,
        "arn": f"arn:aws:emr-serverless:us-east-1:000000000000:/applications/{application}/jobruns/{job_run}",
        "releaseLabel": "emr-7.9.0",
        "state": "RUNNING",
        "previousState": "SCHEDULED",
        "createdBy": "arn:aws:iam::000000000000:root",
        "updatedAt": detail["updatedAt"],
        "createdAt": detail["createdAt"],
    }


async def test_job_run_fails_with_the_last_exceptions_when_its_driver_fails(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[0].finish(1, "Traceback (most recent call last):\n  File x\nValueError: " + "no " * 200 + "\n")
    details = (await emr.job_run_reaches(application, job_run, "FAILED"))["stateDetails"]
    assert details.startswith(
        "Job failed, please check complete logs in configured logging destination. ExitCode: 1. "
        "Last few exceptions: ValueError: no no"
    )
    assert len(details) <= 256


async def test_job_run_fails_when_its_job_driver_is_not_valid(emr: Harness, application: str) -> None:
    emr.invalid_job_driver = InvalidJobDriver("No closing quotation")
    job_run = emr.start_job_run(application)
    described = await emr.job_run_reaches(application, job_run, "FAILED")
    assert "No closing quotation" in described["stateDetails"]
    assert emr.states_of(job_run) == ["SUBMITTED", "PENDING", "SCHEDULED", "FAILED"]


async def test_job_run_is_cancelled_when_it_runs(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.client.cancel_job_run(applicationId=application, jobRunId=job_run, shutdownGracePeriodInSeconds=30)
    assert emr.job_run(application, job_run)["state"] == "CANCELLING"
    await emr.job_run_reaches(application, job_run, "CANCELLED")
    assert emr.drivers[0].killed_after_grace == 30
    assert emr.states_of(job_run)[-3:] == ["RUNNING", "CANCELLING", "CANCELLED"]


async def test_job_run_is_cancelled_when_its_task_has_not_begun(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    emr.client.cancel_job_run(applicationId=application, jobRunId=job_run)
    await emr.job_run_reaches(application, job_run, "CANCELLED")
    assert emr.drivers == []


async def test_cancel_is_refused_when_the_job_run_has_ended(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[0].finish()
    await emr.job_run_reaches(application, job_run, "SUCCESS")
    refused = refusal(emr.client.cancel_job_run, applicationId=application, jobRunId=job_run)
    assert refused[1] == "ValidationException"


async def test_job_runs_queue_in_order_when_the_concurrent_runs_are_used_up(emr: Harness) -> None:
    application = emr.create_application(schedulerConfiguration={"maxConcurrentRuns": 1})
    first, second, third = (emr.start_job_run(application) for _ in range(3))
    await emr.job_run_reaches(application, first, "RUNNING")
    await emr.job_run_reaches(application, third, "QUEUED")
    emr.client.cancel_job_run(applicationId=application, jobRunId=second)
    await emr.job_run_reaches(application, second, "CANCELLED")
    emr.drivers[0].finish()
    described = await emr.job_run_reaches(application, third, "RUNNING")
    assert described["queuedDurationMilliseconds"] > 0
    assert len(emr.drivers) == 2


async def test_job_run_waits_for_resources_when_the_machine_is_busy(tmp_path: Path) -> None:
    async with Harness(tmp_path, drivers_at_a_time=1) as emr:
        application = emr.create_application()
        first, second = emr.start_job_run(application), emr.start_job_run(application)
        await emr.job_run_reaches(application, first, "RUNNING")
        await emr.job_run_reaches(application, second, "SCHEDULED")
        emr.drivers[0].finish()
        await emr.job_run_reaches(application, second, "RUNNING")


async def test_application_stops_by_itself_when_it_has_been_idle(hasty_emr: Harness) -> None:
    application = hasty_emr.create_application()
    job_run = hasty_emr.start_job_run(application, executionTimeoutMinutes=0)
    await hasty_emr.job_run_reaches(application, job_run, "RUNNING")
    hasty_emr.drivers[0].finish()
    await hasty_emr.application_reaches(application, "STOPPED")
    again = hasty_emr.start_job_run(application, executionTimeoutMinutes=0)
    await hasty_emr.job_run_reaches(application, again, "RUNNING")


async def test_job_run_is_refused_when_the_application_is_stopped_and_may_not_start(emr: Harness) -> None:
    application = emr.create_application(autoStartConfiguration={"enabled": False})
    await emr.application_reaches(application, "CREATED")
    refused = refusal(emr.client.start_job_run, applicationId=application, executionRoleArn=ROLE, jobDriver=SPARK_JOB)
    assert refused[:2] == (409, "ConflictException")


async def test_job_run_is_cancelled_when_its_execution_timeout_passes(hasty_emr: Harness) -> None:
    application = hasty_emr.create_application(autoStopConfiguration={"enabled": False})
    job_run = hasty_emr.start_job_run(application, executionTimeoutMinutes=5)
    described = await hasty_emr.job_run_reaches(application, job_run, "CANCELLED")
    assert "timed out after 5 minutes" in described["stateDetails"]
    assert hasty_emr.states_of(job_run)[-2:] == ["CANCELLING", "CANCELLED"]


async def test_job_run_is_cancelled_when_its_queue_timeout_passes(hasty_emr: Harness) -> None:
    scheduler = {"maxConcurrentRuns": 1, "queueTimeoutMinutes": 15}
    application = hasty_emr.create_application(schedulerConfiguration=scheduler)
    hasty_emr.start_job_run(application, executionTimeoutMinutes=0)
    queued = hasty_emr.start_job_run(application)
    described = await hasty_emr.job_run_reaches(application, queued, "CANCELLED")
    assert "in the queue" in described["stateDetails"]


async def test_job_run_is_tried_again_when_its_retry_policy_allows(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application, retryPolicy={"maxAttempts": 2})
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[0].finish(1)
    await emr.until(lambda: len(emr.drivers) == 2)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[1].finish()
    described = await emr.job_run_reaches(application, job_run, "SUCCESS")

    assert described["attempt"] == 2
    first = emr.job_run(application, job_run, attempt=1)
    assert (first["state"], first["attempt"]) == ("FAILED", 1)
    retried = [detail for kind, detail in emr.events if kind == "EMR Serverless Job Run Retry"]
    assert [(event["previousAttempt"], event["previousAttemptState"], event["newAttempt"]) for event in retried] == [
        (1, "FAILED", 2)
    ]
    assert "FAILED" not in emr.states_of(job_run)


async def test_start_job_run_returns_the_same_job_run_when_the_client_token_is_repeated(
    emr: Harness, application: str
) -> None:
    first = emr.start_job_run(application, clientToken="token")
    assert emr.start_job_run(application, clientToken="token") == first
    with pytest.raises(ClientError, match="ConflictException"):
        emr.start_job_run(application, clientToken="token", name="another")
    assert emr.start_job_run(emr.create_application(), clientToken="token") != first


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"executionTimeoutMinutes": 4}, "RunTimeout must be at least 5 minutes"),
        ({"retryPolicy": {"maxAttempts": 11}}, "maxAttempts must be between 1 and 10"),
        ({"executionRoleArn": "arn:aws:iam::999999999999:role/job"}, "Cross-account pass role is not allowed"),
    ],
)
async def test_start_job_run_is_refused_when_a_parameter_is_wrong(
    emr: Harness, application: str, parameters: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ClientError, match=expected):
        emr.start_job_run(application, **parameters)


async def test_job_runs_are_filtered_when_the_list_asks_for_it(emr: Harness, application: str) -> None:
    done, running = emr.start_job_run(application), emr.start_job_run(application)
    await emr.until(lambda: len(emr.drivers) == 2)
    emr.driver_of(done).finish()
    await emr.job_run_reaches(application, done, "SUCCESS")
    created = emr.job_run(application, running)["createdAt"]

    def listed(**parameters: Any) -> list[str]:
        found = emr.client.list_job_runs(applicationId=application, **parameters)["jobRuns"]
        return [job_run["id"] for job_run in found]

    assert listed() == [running, done]
    assert listed(states=["SUCCESS", "RUNNING"]) == [done, running]
    assert listed(mode="STREAMING") == []
    assert listed(createdAtAfter=created.replace(year=created.year + 1)) == []
    assert listed(createdAtBefore=created.replace(year=created.year + 1)) == [running, done]


async def test_sessions_are_refused_clearly_when_asked_for(emr: Harness, application: str) -> None:
    refused = refusal(emr.client.start_session, applicationId=application, executionRoleArn=ROLE)
    assert refused[1] == "ValidationException"
    assert "StartSession is not supported locally" in refused[2]


async def test_job_configuration_wins_when_the_application_has_one_too(emr: Harness) -> None:
    application = emr.create_application(
        runtimeConfiguration=[
            {"classification": "spark-defaults", "properties": {"spark.a": "1", "spark.b": "1"}},
            {"classification": "spark-driver-log4j2", "properties": {"rootLogger.level": "error"}},
        ]
    )
    overrides = [
        {"classification": "spark-defaults", "properties": {"spark.a": "2"}},
        {"classification": "spark-driver-log4j2", "properties": {}},
    ]
    job_run = emr.start_job_run(application, configurationOverrides={"applicationConfiguration": overrides})
    await emr.job_run_reaches(application, job_run, "RUNNING")
    assert emr.drivers[0].request.configurations == [overrides[0]]


async def test_no_driver_is_left_when_the_service_shuts_down(emr: Harness, application: str) -> None:
    running, cancelling = emr.start_job_run(application), emr.start_job_run(application)
    await emr.until(lambda: len(emr.drivers) == 2)
    emr.client.cancel_job_run(applicationId=application, jobRunId=cancelling)
    async with asyncio.timeout(5):
        await emr.service.shut_down()
    assert all(driver.exit_code.done() for driver in emr.drivers)
    described = emr.job_run(application, running)
    assert (described["state"], described["stateDetails"]) == ("FAILED", ENDED_WITH_ITS_SERVER)
    assert emr.job_run(application, cancelling)["state"] == "CANCELLED"


async def test_no_job_run_is_lost_when_many_are_queued(emr: Harness) -> None:
    application = emr.create_application(schedulerConfiguration={"maxConcurrentRuns": 2})
    submitted = [emr.start_job_run(application, name=str(number)) for number in range(200)]
    for number in range(200):
        await emr.until(lambda number=number: len(emr.drivers) > number)  # type: ignore[misc]
        assert sum(not driver.exit_code.done() for driver in emr.drivers) <= 2
        emr.drivers[number].finish()
    await emr.job_run_reaches(application, submitted[-1], "SUCCESS")
    assert [driver.request.job_run_id for driver in emr.drivers] == submitted
