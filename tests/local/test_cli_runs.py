"""The commands about runs, as a person types them: a run that fails is looked at and repaired, another cancelled."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from emr_pipelines.run import Job, execution_arn

from emrp.spark_ui import SparkProgress, SparkUis
from tests.local.conftest import eventually
from tests.local.deployed import RUN_SECONDS, DeployedStack

pytestmark = pytest.mark.spark

PIPELINE = """\
name: {name}
parameters: {{greeting: hello}}
application: {{releaseLabel: emr-7.9.0, type: SPARK}}
jobs:
  - name: first
    jobDriver: {{sparkSubmit: {{entryPoint: "s3://{{{{ stack.bucket }}}}/jobs/{name}-fine.py"}}}}
  - name: middle
    dependsOn: [first]
    jobDriver: {{sparkSubmit: {{entryPoint: "s3://{{{{ stack.bucket }}}}/jobs/{name}-middle.py"}}}}
  - name: last
    dependsOn: [middle]
    jobDriver: {{sparkSubmit: {{entryPoint: "s3://{{{{ stack.bucket }}}}/jobs/{name}-fine.py"}}}}
"""
FINE = 'print("all is well")\n'
BROKEN = 'print("before it breaks")\nraise ValueError("the third column is missing")\n'
ENDLESS = """\
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("for ever", flush=True)
spark.sparkContext.parallelize(range(8), 8).foreach(lambda _: time.sleep(600))
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    printed: str
    complaint: str

    def document(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.printed)


@dataclass(frozen=True)
class Emrp:
    """Runs the command in processes of their own, against the stack of these tests."""

    stack: DeployedStack

    def __call__(self, *arguments: str) -> Ended:
        return self.ended(self.started(*arguments))

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        target = ["--local", "--port", str(self.stack.aws.server.port), "--stack", self.stack.stack.name]
        return subprocess.Popen(
            [sys.executable, "-c", "from emrp.cli import main; main()", *target, *arguments],
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a command."""
        with process:
            try:
                printed, complaint = process.communicate(timeout=RUN_SECONDS)
            finally:
                process.kill()
        return Ended(process.returncode, printed, complaint)


@pytest.fixture(scope="module")
def stack(enforced_stack: DeployedStack) -> DeployedStack:
    return enforced_stack


@pytest.fixture(scope="module")
def emrp(stack: DeployedStack) -> Emrp:
    return Emrp(stack)


@pytest.fixture
def pipeline(stack: DeployedStack) -> str:
    name = f"graph-{uuid4().hex[:8]}"
    stack.put(f"jobs/{name}-fine.py", FINE)
    stack.put(f"jobs/{name}-middle.py", BROKEN)
    stack.register(f"{name}.yaml", PIPELINE.format(name=name))
    return name


def states(document: dict[str, Any]) -> dict[str, str]:
    return {job["name"]: job["state"] for job in document["jobs"]}


def test_run_is_listed_shown_and_repaired_when_its_middle_job_fails(
    stack: DeployedStack, emrp: Emrp, pipeline: str, tmp_path: Path
) -> None:
    failed = emrp("run", pipeline, "-p", "greeting=hi", "--json")

    run = failed.document()
    assert failed.code == 1, failed.complaint
    assert states(run) == {"first": "SUCCESS", "middle": "FAILED", "last": "SKIPPED"}

    listed, why = emrp("list", "--pipeline", pipeline).printed.splitlines()[1:]
    assert all(text in listed for text in (run["runId"], "FAILED", "execution"))
    assert "Job middle" in why

    shown = emrp("show", run["runId"]).printed
    assert "ValueError: the third column is missing" in shown
    assert "Parameter greeting  hi" in shown
    assert "└ ✗ middle" in shown
    assert "Not every upstream job succeeded (middle: FAILED)." in shown

    logs = emrp("logs", run["runId"])
    assert logs.printed.count("before it breaks") == 1
    assert "middle stdout" in logs.complaint
    assert "all is well" in emrp("logs", run["runId"], "first", "--stdout").printed

    written = emrp("report", run["runId"], "--out", str(tmp_path / "report.html"))
    assert written.code == 0, written.complaint
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "ValueError: the third column is missing" in page
    assert "before it breaks" in page

    stack.put(f"jobs/{pipeline}-middle.py", FINE)
    repaired = emrp("repair", run["runId"])

    assert repaired.code == 0, repaired.complaint
    assert repaired.printed.startswith("Runs again: middle, last. Taken over: first.\n")
    (repair,) = [listed for listed in emrp("list", "--json").document()["runs"] if listed["repairOf"] == run["runId"]]
    assert (repair["state"], repair["parameters"]) == ("SUCCEEDED", {"greeting": "hi"})
    jobs = emrp("show", repair["runId"], "--json").document()["jobs"]
    assert [job["reusedFrom"] for job in jobs] == [run["runId"], None, None]
    again = emrp("repair", run["runId"])
    assert (again.code, again.complaint) == (
        2,
        f"The run {run['runId']} has been repaired by {repair['runId']}: repair that one.\n",
    )


def test_nothing_runs_any_more_when_a_run_was_cancelled(
    stack: DeployedStack, emrp: Emrp, pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.put(f"jobs/{pipeline}-fine.py", ENDLESS)
    run_id = emrp("run", pipeline, "--no-follow", "--json").document()["runId"]
    arn = execution_arn(stack.stack.pipeline_state_machine_arn, run_id)
    monkeypatch.setattr(boto3, "client", stack.aws.client)
    uis = SparkUis()

    def progress() -> SparkProgress | None:
        item = stack.item(arn, "JOB#first")
        ids = {name: item[name] for name in ("application_id", "job_run_id", "state") if name in item}
        first = Job(run_id=run_id, pipeline=pipeline, name="first", position=0, request={}, **ids)
        return uis.progress([first]).get("first")

    seen = eventually(progress, RUN_SECONDS, every=0.5)
    assert (seen.tasks, seen.tasks_done, seen.stages) == (8, 0, 1)
    eventually(lambda: "for ever" in emrp("logs", run_id, "first", "--stdout").printed, RUN_SECONDS, every=1)

    following = emrp.started("logs", run_id, "first", "--follow", "--stdout")
    try:
        cancelled = emrp("cancel", run_id, "--yes", "--reason", "wrong file", "--json")
    finally:
        followed = emrp.ended(following)

    assert cancelled.code == 0, cancelled.complaint
    document = cancelled.document()
    assert (document["state"], states(document)) == (
        "CANCELLED",
        {"first": "CANCELLED", "middle": "CANCELLED", "last": "CANCELLED"},
    )
    assert "wrong file" in document["cause"]
    assert stack.active_job_runs(arn) == []
    assert emrp("cancel", run_id).printed == f"The run {run_id} had ended before: it is CANCELLED.\n"
    assert (followed.code, followed.printed) == (0, "for ever\n"), followed.complaint
    assert followed.complaint.splitlines()[-1].startswith("first CANCELLED: ")
