"""The state machines in moto's interpreter, for each test anew."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.contract.second_interpreter.interpreter import Interpreter, Returns, Succeeds, plan_of
from tests.contract.second_interpreter.moto_gaps import fill_gaps


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interpreter]:
    """The state machines, and functions with which a run of the job `process` succeeds."""
    fill_gaps(monkeypatch)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        interpreter = Interpreter(
            {
                "plan_run": [plan_of("process")],
                "launch_application": [Succeeds({"applicationId": "app1"})],
                "add_job_run": [Succeeds({"state": "SUCCESS"})],
                "wait_for_slot": [Succeeds({"runId": "salaries-1"})],
                "wait_for_upstream": [Succeeds({"job": "process"})],
                "check_status": [Succeeds({"state": "SUCCESS"})],
                "clean_up": [Returns({"state": "SUCCEEDED", "error": "", "cause": ""})],
            },
            monkeypatch,
        )
        yield interpreter
        interpreter.stop()
