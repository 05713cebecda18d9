"""What a sweep asks of AWS, as boto3 answers it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.stub import Stubber
from emr_pipelines.gateways.cloudformation import CloudFormation
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.step_functions import StepFunctions

from tests.unit.conftest import example_event

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pipeline"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:pipeline"


def execution(name: str, started_at: str, **more: str) -> dict[str, Any]:
    status = more.pop("status", "FAILED")
    described = {"executionArn": f"{EXECUTION}:{name}", "stateMachineArn": MACHINE, "name": name, "status": status}
    dates = {name: datetime.fromisoformat(more.pop(name)) for name in ("stopDate",) if name in more}
    return {**described, "startDate": datetime.fromisoformat(started_at), **dates, **more}


@contextmanager
def stubbed(gateway: Any, name: str) -> Iterator[Stubber]:
    """Answer the calls of a gateway."""
    service = {"_states": "stepfunctions", "_emr": "emr-serverless"}[name]
    client: Any = boto3.client(service)  # type: ignore[call-overload]
    with Stubber(client) as stubber, mock.patch.object(gateway, name, client):
        yield stubber
        stubber.assert_no_pending_responses()


def test_executions_are_listed_as_far_back_as_asked_when_there_are_many() -> None:
    gateway = StepFunctions()
    asked = {"stateMachineArn": MACHINE, "statusFilter": "FAILED"}
    with stubbed(gateway, "_states") as states:
        long = execution("long", "2026-11-20T23:00:00Z", stopDate="2026-11-21T11:30:00+00:00")
        page = [execution("c", "2026-11-21T12:00:00Z"), long, execution("b", "2026-11-21T11:00:00Z")]
        states.add_response("list_executions", {"executions": page, "nextToken": "more"}, asked)
        page = [execution("a", "2026-11-20T23:59:59Z"), execution("older", "2026-11-20T00:00:00Z")]
        states.add_response(
            "list_executions", {"executions": page, "nextToken": "never used"}, {**asked, "nextToken": "more"}
        )

        assert gateway.list_executions(MACHINE, "FAILED", since="2026-11-21T00:00:00.000000Z") == {"b", "c"}


def test_execution_is_described_when_it_has_died() -> None:
    gateway = StepFunctions()
    with stubbed(gateway, "_states") as states:
        answer = execution(
            "a",
            "2026-11-21T12:00:00Z",
            stopDate="2026-11-21T12:00:05Z",
            input='{"pipeline": "x"}',
            error="E",
            cause="c",
        )
        states.add_response("describe_execution", answer, {"executionArn": f"{EXECUTION}:a"})

        observed = gateway.describe_execution(f"{EXECUTION}:a")

    assert observed is not None
    assert (observed.status, observed.stopped_at) == ("FAILED", "2026-11-21T12:00:05.000000Z")
    assert (observed.run_input, observed.error, observed.cause) == ({"pipeline": "x"}, "E", "c")


def test_execution_is_none_when_step_functions_does_not_know_it() -> None:
    gateway = StepFunctions()
    with stubbed(gateway, "_states") as states:
        states.add_client_error("describe_execution", "ExecutionDoesNotExist")

        assert gateway.describe_execution(f"{EXECUTION}:a") is None


def test_application_has_its_tags_when_it_is_looked_at() -> None:
    gateway = EmrServerless()
    with stubbed(gateway, "_emr") as emr:
        application = {
            "applicationId": "app1",
            "arn": "arn:aws:emr-serverless:us-east-1:123456789012:/applications/app1",
            "releaseLabel": "emr-7.9.0",
            "type": "SPARK",
            "state": "STARTED",
            "createdAt": "2026-11-21T12:00:00Z",
            "updatedAt": "2026-11-21T12:00:00Z",
            "tags": {"emr-pipelines:run": "r"},
        }
        emr.add_response("get_application", {"application": application}, {"applicationId": "app1"})

        observed = gateway.get_application("app1")

    assert (observed.tags, observed.created_at) == ({"emr-pipelines:run": "r"}, "2026-11-21T12:00:00.000000Z")


@pytest.mark.parametrize(("problem", "status"), [(None, "SUCCESS"), ("It does not stop.", "FAILED")])
def test_cloudformation_is_answered_as_it_asks_when_a_request_is_done(problem: str | None, status: str) -> None:
    request = example_event("release_applications.delete")
    with mock.patch("emr_pipelines.gateways.cloudformation.urlopen", return_value=BytesIO()) as urlopen:
        CloudFormation().answer(request, problem)

    (sent,) = urlopen.call_args.args
    body = json.loads(sent.data)
    assert (sent.method, sent.full_url) == ("PUT", request["ResponseURL"])
    assert sent.get_header("Content-type") == ""  # the address is signed for it
    assert (body["Status"], body["Reason"]) == (status, problem or "")
    assert {name: body[name] for name in ("StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId")} == {
        name: request[name] for name in ("StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId")
    }
