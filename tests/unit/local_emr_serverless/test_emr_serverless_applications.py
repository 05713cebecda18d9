"""The local EMR Serverless: applications as a boto3 client sees them."""

from typing import Any

import pytest

from tests.unit.local_emr_serverless.harness import Harness, refusal


async def test_application_becomes_created_when_it_is_new(emr: Harness) -> None:
    application = emr.create_application(name="etl", tags={"team": "data"})
    await emr.application_reaches(application, "CREATED")

    described = emr.client.get_application(applicationId=application)["application"]

    assert described["name"] == "etl"
    assert described["arn"] == f"arn:aws:emr-serverless:us-east-1:000000000000:/applications/{application}"
    assert described["type"] == "Spark"
    assert described["architecture"] == "X86_64"
    assert described["autoStartConfiguration"] == {"enabled": True}
    assert described["autoStopConfiguration"] == {"enabled": True, "idleTimeoutMinutes": 15}
    assert described["schedulerConfiguration"] == {"maxConcurrentRuns": 15, "queueTimeoutMinutes": 360}
    assert described["tags"] == {"team": "data"}


async def test_application_goes_through_its_states_when_it_is_used(emr: Harness, application: str) -> None:
    await emr.application_reaches(application, "CREATED")
    emr.client.start_application(applicationId=application)
    await emr.application_reaches(application, "STARTED")
    emr.client.stop_application(applicationId=application)
    await emr.application_reaches(application, "STOPPED")
    emr.client.delete_application(applicationId=application)

    published = [detail["state"] for kind, detail in emr.events if kind == "EMR Serverless Application State Change"]
    assert published == ["CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED", "TERMINATED"]
    assert emr.client.get_application(applicationId=application)["application"]["state"] == "TERMINATED"
    assert emr.client.list_applications()["applications"] == []
    assert [found["id"] for found in emr.client.list_applications(states=["TERMINATED"])["applications"]] == [
        application
    ]


async def test_application_event_has_the_fields_of_the_guide_when_its_state_changes(
    emr: Harness, application: str
) -> None:
    kind, detail = emr.events[0]
    assert kind == "EMR Serverless Application State Change"
    assert detail == {
        "applicationId": application,
        "applicationName": "tests",
        "arn": f"arn:aws:emr-serverless:us-east-1:000000000000:/applications/{application}",
        "releaseLabel": "emr-7.9.0",
        "state": "CREATING",
        "type": "SPARK",
        "createdAt": detail["createdAt"],
        "updatedAt": detail["updatedAt"],
        "autoStopConfig": {"enabled": True, "idleTimeout": 15},
        "autoStartConfig": {"enabled": True},
    }


async def test_stop_is_refused_when_the_application_is_not_running(emr: Harness, application: str) -> None:
    status, code, message = refusal(emr.client.stop_application, applicationId=application)
    assert (status, code) == (400, "ValidationException")
    assert "one of the following statuses: [STARTING, STARTED]" in message


async def test_stop_is_refused_when_a_job_run_is_under_way(emr: Harness, application: str) -> None:
    job_run = emr.start_job_run(application)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    assert refusal(emr.client.stop_application, applicationId=application)[1] == "ValidationException"


async def test_delete_is_refused_when_the_application_is_started(emr: Harness, application: str) -> None:
    await emr.application_reaches(application, "CREATED")
    emr.client.start_application(applicationId=application)
    await emr.application_reaches(application, "STARTED")
    _, code, message = refusal(emr.client.delete_application, applicationId=application)
    assert code == "ValidationException"
    assert "[CREATED, STOPPED]. Current status: STARTED" in message


async def test_applications_are_listed_in_pages_when_there_are_many(emr: Harness) -> None:
    made = [emr.create_application() for _ in range(5)]
    paginator = emr.client.get_paginator("list_applications")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["applications"]) for page in pages] == [2, 2, 1]
    assert [found["id"] for page in pages for found in page["applications"]] == made[::-1]


async def test_create_returns_the_same_application_when_the_client_token_is_repeated(emr: Harness) -> None:
    first = emr.create_application(clientToken="token")
    assert emr.create_application(clientToken="token") == first
    parameters = {"clientToken": "token", "name": "other", "releaseLabel": "emr-7.9.0", "type": "SPARK"}
    assert refusal(emr.client.create_application, **parameters)[:2] == (409, "ConflictException")


def drivers(cpu: str, memory: str, disk: str = "20 GB") -> dict[str, Any]:
    return {"DRIVER": {"workerCount": 1, "workerConfiguration": {"cpu": cpu, "memory": memory, "disk": disk}}}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"releaseLabel": "emr-6.5.0"}, "release label does not exist"),
        ({"releaseLabel": "latest"}, "release label does not exist"),
        ({"type": "PRESTO"}, "Unsupported engine PRESTO"),
        ({"name": "no spaces please"}, "Value 'no spaces please' at 'name' failed to satisfy constraint"),
        ({"architecture": "VAX"}, "Member must satisfy enum value set: [ARM64, X86_64]"),
        ({"initialCapacity": drivers("3 vCPU", "8 GB")}, "cpu must be one of 1, 2, 4, 8, 16 vCPU"),
        ({"initialCapacity": drivers("8vCPU", "18GB")}, "memory must be 16 GB to 60 GB in 4 GB increments"),
        ({"initialCapacity": drivers("1 vCPU", "2 GB", "201 GB")}, "disk must be 20 GB to 200 GB"),
        ({"schedulerConfiguration": {"maxConcurrentRuns": 1001}}, "maxConcurrentRuns must be between 1 and 1000"),
        ({"schedulerConfiguration": {"queueTimeoutMinutes": 14}}, "queueTimeoutMinutes must be between 15 and 720"),
    ],
)
async def test_create_is_refused_when_a_parameter_is_wrong(
    emr: Harness, parameters: dict[str, Any], expected: str
) -> None:
    request = {"releaseLabel": "emr-7.9.0", "type": "SPARK"} | parameters
    status, code, message = refusal(emr.client.create_application, **request)
    assert (status, code) == (400, "ValidationException")
    assert expected in message


async def test_not_found_is_answered_when_a_resource_is_unknown(emr: Harness, application: str) -> None:
    assert refusal(emr.client.get_application, applicationId="00none")[:2] == (404, "ResourceNotFoundException")
    refused = refusal(emr.client.get_job_run, applicationId=application, jobRunId="00none")
    assert refused[:2] == (404, "ResourceNotFoundException")
