"""The local EMR Serverless: updates, tags, attempts, streaming and quotas as a boto3 client sees them."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emrp.local.emr_serverless.quotas import ApiQuotas
from tests.unit.local_emr_serverless.harness import Harness, refusal


async def started(emr: Harness, application: str) -> None:
    emr.client.start_application(applicationId=application)
    await emr.application_reaches(application, "STARTED")


def with_options(options: str) -> dict[str, Any]:
    return {"sparkSubmit": {"entryPoint": "s3://bucket/job.py", "sparkSubmitParameters": options}}


async def test_application_is_changed_when_it_is_updated_in_created(emr: Harness, application: str) -> None:
    updated = emr.client.update_application(
        applicationId=application,
        releaseLabel="emr-7.8.0",
        architecture="ARM64",
        autoStopConfiguration={"enabled": True, "idleTimeoutMinutes": 1},
    )["application"]
    assert (updated["releaseLabel"], updated["architecture"]) == ("emr-7.8.0", "ARM64")
    assert updated["autoStopConfiguration"]["idleTimeoutMinutes"] == 1
    assert updated["name"] == "tests"


async def test_concurrency_is_changed_when_the_application_is_started(emr: Harness) -> None:
    application = emr.create_application(schedulerConfiguration={"maxConcurrentRuns": 1, "queueTimeoutMinutes": 20})
    emr.start_job_run(application)
    waiting = emr.start_job_run(application)
    await emr.job_run_reaches(application, waiting, "QUEUED")
    updated = emr.client.update_application(applicationId=application, schedulerConfiguration={"maxConcurrentRuns": 2})[
        "application"
    ]
    assert updated["schedulerConfiguration"] == {"maxConcurrentRuns": 2, "queueTimeoutMinutes": 20}
    await emr.job_run_reaches(application, waiting, "RUNNING")


@pytest.mark.parametrize(
    "changes",
    [
        {"releaseLabel": "emr-7.8.0"},
        {"schedulerConfiguration": {"queueTimeoutMinutes": 20}},
        {"schedulerConfiguration": {"maxConcurrentRuns": 2}, "architecture": "ARM64"},
    ],
)
async def test_update_is_refused_when_the_application_is_started(
    emr: Harness, application: str, changes: dict[str, Any]
) -> None:
    await started(emr, application)
    _, code, message = refusal(emr.client.update_application, applicationId=application, **changes)
    assert code == "ValidationException"
    assert message.startswith("Only MaxConcurrentRuns from SchedulerConfiguration can be updated")


async def test_update_is_refused_when_the_application_is_terminated(emr: Harness, application: str) -> None:
    emr.client.delete_application(applicationId=application)
    refused = refusal(emr.client.update_application, applicationId=application, architecture="ARM64")
    assert "[STOPPED, CREATED]. Current status: TERMINATED" in refused[2]


async def test_resources_are_tagged_when_asked_for(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application, tags={"run": "1"})
    arns = [
        emr.client.get_application(applicationId=application)["application"]["arn"],
        emr.job_run(application, job_run)["arn"],
    ]
    for arn in arns:
        emr.client.tag_resource(resourceArn=arn, tags={"team": "data", "cost": "low"})
        emr.client.untag_resource(resourceArn=arn, tagKeys=["cost"])
    assert emr.client.list_tags_for_resource(resourceArn=arns[0])["tags"] == {"team": "data"}
    assert emr.client.list_tags_for_resource(resourceArn=arns[1])["tags"] == {"run": "1", "team": "data"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({f"key{number}": "" for number in range(51)}, "at most 50 tags"),
        ({"aws:owner": "me"}, "reserved for AWS"),
    ],
)
async def test_tags_are_refused_when_they_break_a_rule(
    emr: Harness, application: str, tags: dict[str, str], expected: str
) -> None:
    arn = emr.client.get_application(applicationId=application)["application"]["arn"]
    assert expected in refusal(emr.client.tag_resource, resourceArn=arn, tags=tags)[2]
    with pytest.raises(ClientError, match=expected):
        emr.create_application(tags=tags)


async def test_tags_are_not_found_when_the_resource_is_unknown(emr: Harness) -> None:
    arn = "arn:aws:emr-serverless:us-east-1:000000000000:/applications/00none0000000000"
    assert refusal(emr.client.list_tags_for_resource, resourceArn=arn)[:2] == (404, "ResourceNotFoundException")


async def test_attempts_are_listed_when_a_job_run_was_retried(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application, retryPolicy={"maxAttempts": 3})
    for number in range(3):
        await emr.until(lambda number=number: len(emr.drivers) > number)  # type: ignore[misc]
        emr.drivers[number].finish(1)
    await emr.job_run_reaches(application, job_run, "FAILED")

    attempts = emr.client.list_job_run_attempts(applicationId=application, jobRunId=job_run)["jobRunAttempts"]

    assert [(attempt["attempt"], attempt["state"]) for attempt in attempts] == [
        (3, "FAILED"),
        (2, "FAILED"),
        (1, "FAILED"),
    ]
    assert {attempt["jobCreatedAt"] for attempt in attempts} == {emr.job_run(application, job_run)["createdAt"]}
    assert refusal(emr.client.get_job_run, applicationId=application, jobRunId=job_run, attempt=4)[0] == 404


async def test_streaming_job_run_is_retried_when_it_fails(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application, mode="STREAMING", retryPolicy={"maxFailedAttemptsPerHour": 2})
    await emr.until(lambda: len(emr.drivers) == 1)
    emr.drivers[0].finish(1)
    await emr.until(lambda: len(emr.drivers) == 2)
    emr.drivers[1].finish(1)
    described = await emr.job_run_reaches(application, job_run, "FAILED")
    assert (described["mode"], described["executionTimeoutMinutes"]) == ("STREAMING", 0)


@pytest.mark.parametrize(
    ("application_parameters", "parameters", "expected"),
    [
        ({}, {"mode": "STREAMING", "executionTimeoutMinutes": 60}, "execution timeout cannot be set"),
        ({}, {"mode": "STREAMING", "retryPolicy": {"maxAttempts": 2}}, "maxAttempts is not applicable"),
        ({}, {"retryPolicy": {"maxFailedAttemptsPerHour": 2}}, "not applicable to BATCH mode"),
        ({"releaseLabel": "emr-7.0.0"}, {"mode": "STREAMING"}, "release emr-7.1.0 or higher"),
        ({"releaseLabel": "emr-7.0.0"}, {"retryPolicy": {"maxAttempts": 2}}, "release emr-7.1.0 or higher"),
        ({}, {"jobDriver": with_options("--master yarn")}, "Option 'spark.master' is not supported"),
        ({}, {"jobDriver": with_options("--conf spark.master=local")}, "Option 'spark.master' is not supported"),
        ({"type": "HIVE"}, {}, "jobDriver of a HIVE application must be hive"),
    ],
)
async def test_job_run_is_refused_when_its_mode_does_not_allow_it(
    emr: Harness, application_parameters: dict[str, Any], parameters: dict[str, Any], expected: str
) -> None:
    application = emr.create_application(**application_parameters)
    with pytest.raises(ClientError, match=expected):
        emr.start_job_run(application, **parameters)


async def test_calls_are_throttled_when_they_exceed_their_quota(tmp_path: Path) -> None:
    now = 0.0
    async with Harness(tmp_path, quotas=ApiQuotas(lambda: now)) as emr:
        made = [emr.create_application() for _ in range(25)]
        with pytest.raises(ClientError, match="ThrottlingException"):
            emr.create_application()
        assert emr.client.get_application(applicationId=made[0])
        now = 1.0
        emr.create_application()
        with pytest.raises(ClientError, match="Rate exceeded"):
            emr.create_application()


async def test_dashboard_is_the_ui_of_the_driver_when_the_job_run_is_running(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    names = {"applicationId": application, "jobRunId": job_run}
    assert "no dashboard while it is SUBMITTED" in refusal(emr.client.get_dashboard_for_job_run, **names)[2]
    await emr.job_run_reaches(application, job_run, "RUNNING")
    assert emr.client.get_dashboard_for_job_run(**names)["url"] == "http://127.0.0.1:4040"
