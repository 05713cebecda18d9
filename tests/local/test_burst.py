"""Triggers on the whole local stack with simulated jobs: a burst of uploads at AWS's quotas, a tick of a schedule.

`python -m bench burst` does the same with two thousand uploads at raised quotas, and measures.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from emr_pipelines.gateways.run_record import RunRecord

from bench.burst import forget_clients, upload_burst
from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually
from tests.local.deployed import ROOT, DeployedStack, deploy

UPLOADS = 40  # EMR takes 25 job runs at once, and then one a second
SECONDS = 480.0
SCHEDULED = """\
name: ticking
triggers:
  schedules: [{expression: rate(1 day), timezone: Europe/Dublin, parameters: {top: 5}}]
parameters: {top: 10}
application: {releaseLabel: emr-7.9.0, type: SPARK}
jobs:
  - name: only
    jobDriver: {sparkSubmit: {entryPoint: "s3://{{ stack.bucket }}/jobs/x.py"}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """The stack on a local AWS whose jobs only take time, and this process as its client."""
    forget_clients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMRP_SIMULATED_JOB_SECONDS", "0")
        with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("burst")) as server:
            for name, value in server.environment().items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            yield deploy(LocalAwsUnderTest(server), "burst")
    forget_clients()


def test_tick_starts_the_run_that_a_backfill_finds_there_when_a_pipeline_has_a_schedule(stack: DeployedStack) -> None:
    stack.register("ticking.yaml", SCHEDULED)
    record = RunRecord(stack.stack.run_table)

    run = eventually(lambda: next((run for run in record.list_runs("ticking", limit=1) if run.ended), None), SECONDS)

    (filled,) = backfill(stack, "ticking")["runs"]
    assert run.state == "SUCCEEDED"
    assert run.parameters == {"top": 5}
    assert run.trigger["type"] == "schedule"
    assert (filled["runId"], filled["state"]) == (run.run_id, "PRESENT")
    assert filled["scheduledTime"] == run.trigger["scheduledTime"]


def backfill(stack: DeployedStack, pipeline: str) -> dict[str, Any]:
    """Say what `emrp backfill` would do for all days until now."""
    command = [sys.executable, "-m", "emrp.cli", "--local", "--port", str(stack.aws.server.port), "--stack", "burst"]
    command += ["backfill", pipeline, "--from", "2026-01-01", "--to", "2999-01-01", "--dry-run", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_each_upload_has_one_run_that_succeeds_when_many_come_at_once(stack: DeployedStack) -> None:
    burst = upload_burst(stack.stack, UPLOADS, stack.aws.server.pid, SECONDS)

    assert (burst.lost, burst.repeated, burst.unsuccessful) == (0, 0, 0)
    assert burst.ended_within > UPLOADS - 25 - 1, "StartJobRun was not throttled"
    dead_letters = stack.aws.client("sqs").get_queue_attributes(
        QueueUrl=stack.stack.trigger_dead_letter_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert dead_letters["Attributes"]["ApproximateNumberOfMessages"] == "0"
