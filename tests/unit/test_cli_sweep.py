"""`emrp sweep` shows what a sweep would find, or lets the function of the stack do it."""

import io
import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Run

from emrp import sweep
from emrp.errors import EXIT_ENVIRONMENT
from emrp.stack import Stack
from tests.unit.fakes import FakeEmrServerless
from tests.unit.fakes_emr_on_ec2 import FakeStacks

Command = Callable[..., tuple[int, str, str]]

LEFTOVER = {"kind": "JOB_RUN_LEFT", "run_id": "r", "why": "it has not ended", "text": "job run j of run r: it is left"}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, deployed: Stack) -> Mock:
    """The function `sweep`; moto would want Docker for it."""
    function = Mock()
    client = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda service, **settings: function if service == "lambda" else client(service, **settings)
    )
    return function


def answers(function: Mock, payload: object, **more: str) -> None:
    """Let the function answer."""
    function.invoke.return_value = {"Payload": io.BytesIO(json.dumps(payload).encode()), **more}


def test_sweep_says_what_was_removed_when_something_was_left(emrp: Command, function: Mock, deployed: Stack) -> None:
    answers(function, {"leftovers": [LEFTOVER]})

    assert emrp("sweep") == (0, "- job run j of run r: it is left\nSwept up 1 thing.\n", "")
    assert function.invoke.call_args.kwargs["FunctionName"] == deployed.sweep_function
    assert json.loads(function.invoke.call_args.kwargs["Payload"]) == {"graceSeconds": 600}


def test_sweep_says_so_when_nothing_is_left(emrp: Command, function: Mock) -> None:
    answers(function, {"leftovers": []})

    assert emrp("sweep", "--older-than", "0") == (0, "Nothing is left over.\n", "")
    assert json.loads(function.invoke.call_args.kwargs["Payload"]) == {"graceSeconds": 0}


def test_sweep_fails_when_something_is_still_there(emrp: Command, function: Mock) -> None:
    answers(function, {"leftovers": [{**LEFTOVER, "problem": "TransientError: throttled"}]})

    code, _, complaint = emrp("sweep")
    assert (code, complaint.strip()) == (EXIT_ENVIRONMENT, "still there: TransientError: throttled")


def test_sweep_says_why_when_the_function_fails(emrp: Command, function: Mock) -> None:
    answers(function, {"errorType": "TransientError", "errorMessage": "throttled"}, FunctionError="Unhandled")

    code, _, complaint = emrp("sweep")
    assert code != 0
    assert "The sweep failed: TransientError: throttled." in complaint


def test_dry_run_finds_and_changes_nothing_when_a_run_is_lost(
    emrp: Command, function: Mock, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    emr = FakeEmrServerless()
    monkeypatch.setattr(sweep, "EmrServerless", lambda _: emr)
    monkeypatch.setattr(sweep, "ClusterStacks", FakeStacks)  # moto's CloudFormation is not installed
    record.create_run(Run(run_id="lost", execution_arn="arn", started_at="2020-01-01T00:00:00.000000Z"))

    code, printed, _ = emrp("sweep", "--dry-run", "--json")

    found: list[dict[str, Any]] = json.loads(printed)["leftovers"]
    assert code == 0
    assert [leftover["text"] for leftover in found] == ["run lost: its execution does not exist any more"]
    assert record.get_run("lost").state == "RUNNING"  # type: ignore[union-attr]
    function.invoke.assert_not_called()
