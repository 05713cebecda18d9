"""The example pipelines on real Spark, with results that are computed here a second time without it."""

import csv
import io
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emrp.sample_data import write_sensor_readings, write_text
from tests.local.conftest import eventually
from tests.local.deployed import DeployedStack

pytestmark = pytest.mark.spark

EXAMPLES = ("hive-report", "hive-report-data", "ml-training", "ml-training-cluster", "wordcount-fanout")
TEXT_KEY = "landing/texts/a text, naïve.txt"
DAILY_KEY = "landing/sensors/daily/readings.csv"
FEATURES = ("temperature", "vibration", "pressure")
RUN_SECONDS = 600.0  # all of them run at once
TEMPLATE = Path(__file__).with_name("cluster_template.yaml")
MACHINE_STATES = ((22.0, 0.4, 1.0), (61.0, 4.5, 6.2), (88.0, 9.0, 9.5))


@dataclass(frozen=True)
class Input:
    """The files that the examples run on, and the run that no file has started."""

    text: Path
    training: Path
    scoring: Path
    daily: Path
    model_run: str
    cluster_run: str


@pytest.fixture(scope="module")
def stack(enforced_stack: DeployedStack) -> DeployedStack:
    """The stack, in an account that has the roles that `aws emr create-default-roles` creates."""
    iam, bucket = enforced_stack.aws.client("iam"), f"arn:aws:s3:::{enforced_stack.stack.bucket}"
    allowed = {"Effect": "Allow", "Action": ["s3:*"], "Resource": [bucket, f"{bucket}/*"]}
    for role, service in (("EMR_DefaultRole", "elasticmapreduce"), ("EMR_EC2_DefaultRole", "ec2")):
        trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(_policy(trust)))
    iam.put_role_policy(
        RoleName="EMR_EC2_DefaultRole", PolicyName="bucket", PolicyDocument=json.dumps(_policy(allowed))
    )
    iam.create_instance_profile(InstanceProfileName="EMR_EC2_DefaultRole")
    iam.add_role_to_instance_profile(InstanceProfileName="EMR_EC2_DefaultRole", RoleName="EMR_EC2_DefaultRole")
    return enforced_stack


def _policy(statement: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture(scope="module")
def given(stack: DeployedStack, tmp_path_factory: pytest.TempPathFactory) -> Input:
    """Input for all examples at once: side by side they take not much more than the longest of them."""
    folder = tmp_path_factory.mktemp("input")
    text, training, scoring, daily = (folder / name for name in ("text", "training", "scoring", "daily"))
    write_text(text)
    write_sensor_readings(training)
    write_sensor_readings(scoring, rows=500, seed=2021)
    write_sensor_readings(daily, rows=1600, seed=2022)
    stack.put("landing/sensors/training/readings.csv", training.read_text())
    stack.put("landing/sensors/scoring/readings.csv", scoring.read_text())
    article = {"ModelName": "PipelineTest_01", "ClusterSize": "4", "ProcessingMode": ["TRAINING"]}
    model_run, cluster_run = (
        stack.aws.client("stepfunctions").start_execution(
            stateMachineArn=stack.stack.pipeline_state_machine_arn, input=json.dumps(run_input)
        )["executionArn"]
        for run_input in ({"pipeline": "ml-training"}, {"pipeline": "ml-training-cluster", "parameters": article})
    )
    stack.put(TEXT_KEY, text.read_text(encoding="utf-8"))
    stack.put(DAILY_KEY, daily.read_text())
    return Input(text, training, scoring, daily, model_run, cluster_run)


def states(stack: DeployedStack, execution: str, *jobs: str) -> dict[str, str]:
    """The states of jobs in the run record."""
    return {job: stack.item(execution, f"JOB#{job}")["state"] for job in jobs}


def output(stack: DeployedStack, execution: str, job: str) -> dict[str, Any]:
    """The document that a job has left for others."""
    document: dict[str, Any] = json.loads(objects(stack, stack.item(execution, f"JOB#{job}")["output_uri"]))
    return document


def objects(stack: DeployedStack, uri: str) -> str:
    """The content of all objects below an s3:// address."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    s3 = stack.aws.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
    return "".join(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys)


def usable(file: Path) -> list[dict[str, Any]]:
    """The readings of a file that have a possible value for each feature."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if not {"", "n/a", "-999.0"} & set(row.values())]
    return [row | {feature: float(row[feature]) for feature in FEATURES} for row in rows]


def k_means(readings: list[dict[str, Any]]) -> tuple[float, list[int]]:
    """Cluster scaled readings, beginning with what the generator varies; returns WSSSE and sizes, sorted."""
    values = np.array([[row[feature] for feature in FEATURES] for row in readings])
    mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)
    scaled, centres = (values - mean) / deviation, (np.array(MACHINE_STATES) - mean) / deviation
    for _ in range(20):
        squares = ((scaled[:, None, :] - centres) ** 2).sum(axis=2)
        cluster = squares.argmin(axis=1)
        centres = np.array([scaled[cluster == number].mean(axis=0) for number in range(len(centres))])
    return float(squares.min(axis=1).sum()), sorted(np.bincount(cluster).tolist())


def test_every_word_is_counted_when_its_parts_are_counted_side_by_side(stack: DeployedStack, given: Input) -> None:
    execution = eventually(lambda: stack.execution_for(TEXT_KEY))

    assert stack.ended(execution, RUN_SECONDS) == "SUCCEEDED"

    counts = ("count.1", "count.2", "count.3")
    assert set(states(stack, execution, "split", *counts, "merge").values()) == {"SUCCESS"}
    expected = Counter(re.findall(r"[\w']+", given.text.read_text(encoding="utf-8").lower()))
    rows = csv.DictReader(io.StringIO(objects(stack, f"{stack.item(execution)['output']}/words/")))
    assert {row["word"]: int(row["count"]) for row in rows} == expected
    assert sum(output(stack, execution, job)["words"] for job in counts) == expected.total()
    assert output(stack, execution, "merge")["words"] == expected.total()


def test_model_of_training_is_that_of_scoring_when_modes_follow_one_another(stack: DeployedStack, given: Input) -> None:
    execution = given.model_run

    assert stack.ended(execution, RUN_SECONDS) == "SUCCEEDED"

    jobs = ("preprocess.1", "model.1", "preprocess.2", "model.2")
    assert set(states(stack, execution, *jobs).values()) == {"SUCCESS"}
    for file, preprocess in zip((given.training, given.scoring), jobs[::2], strict=True):
        assert output(stack, execution, preprocess)["readings"] == len(usable(file))
    training, scoring = output(stack, execution, "model.1"), output(stack, execution, "model.2")
    wssse, sizes = k_means(usable(given.training))
    assert training["trainingCost"] == pytest.approx(wssse)
    assert training["wssse"] == pytest.approx(wssse)
    assert sorted(training["clusterSizes"].values()) == sizes
    assert scoring["modelUri"] == training["modelUri"]
    assert scoring["readings"] == len(usable(given.scoring))
    assert 0 < scoring["anomalies"] < 10
    report = json.loads(objects(stack, f"{stack.item(execution)['output']}/SCORING/report/"))
    assert report == scoring


def test_cluster_trains_the_same_model_and_is_gone_when_its_run_has_ended(stack: DeployedStack, given: Input) -> None:
    execution = given.cluster_run

    assert stack.ended(execution, RUN_SECONDS) == "SUCCEEDED"

    assert set(states(stack, execution, "preprocess.1", "model.1").values()) == {"SUCCESS"}
    wssse, _ = k_means(usable(given.training))
    training, run = output(stack, execution, "model.1"), stack.item(execution)
    assert training["wssse"] == pytest.approx(wssse)
    assert json.loads(objects(stack, f"{run['output']}/model/TRAINING/report/")) == training
    emr, cluster_id = stack.aws.client("emr"), run["application_id"]
    steps = emr.list_steps(ClusterId=cluster_id)["Steps"]
    assert [(step["Name"].split()[0], step["Status"]["State"]) for step in reversed(steps)] == [
        ("preprocess.1", "COMPLETED"),
        ("model.1", "COMPLETED"),
    ]
    eventually(lambda: emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "TERMINATED")
    (mail,) = eventually(lambda: stack.emails(execution))
    assert mail["subject"] == "ml-training-cluster succeeded"


def test_cluster_of_a_template_is_resized_and_goes_with_its_stack_when_its_run_has_ended(stack: DeployedStack) -> None:
    stack.put("jobs/cluster.yaml", TEMPLATE.read_text())
    cluster = {"template": "s3://{{ stack.bucket }}/jobs/cluster.yaml", "parameters": {"Nodes": 2}}
    bigger = {"name": "bigger", "resize": {"instanceGroup": "CORE", "InstanceCount": 3}}
    execution = stack.aws.client("stepfunctions").start_execution(
        stateMachineArn=stack.stack.pipeline_state_machine_arn,
        input=json.dumps({"definition": {"name": "templated", "cluster": cluster, "jobs": [bigger]}}),
    )["executionArn"]

    assert stack.ended(execution) == "SUCCEEDED"

    run, cloudformation = stack.item(execution), stack.aws.client("cloudformation")
    cluster_id, name = run["application_id"], json.loads(run["cluster"])["StackName"]
    (core,) = [
        group
        for group in stack.aws.client("emr").list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
        if group["InstanceGroupType"] == "CORE"
    ]
    assert core["RequestedInstanceCount"] == 3

    def is_gone() -> bool:
        summaries = cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE", "DELETE_IN_PROGRESS"])
        return name not in [stack["StackName"] for stack in summaries["StackSummaries"]]

    eventually(is_gone)


def test_hive_reports_what_spark_has_cleaned_when_the_success_of_its_run_starts_it(
    stack: DeployedStack, given: Input
) -> None:
    cleaning = eventually(lambda: stack.execution_for(DAILY_KEY))

    assert stack.ended(cleaning, RUN_SECONDS) == "SUCCEEDED"

    reporting = eventually(lambda: started_by(stack, cleaning))
    assert stack.ended(reporting, RUN_SECONDS) == "SUCCEEDED"
    assert states(stack, reporting, "report") == {"report": "SUCCESS"}
    expected = defaultdict(list)
    for row in usable(given.daily):
        expected[row["device"], row["recorded_at"][:10]].append(row)
    rows = list(csv.reader(io.StringIO(objects(stack, f"{stack.item(reporting)['output']}/report/"))))
    assert [tuple(row[:2]) for row in rows] == sorted(expected)
    for device, day, readings, temperature, vibration in rows:
        own = expected[device, day]
        assert int(readings) == len(own)
        assert float(temperature) == pytest.approx(max(row["temperature"] for row in own), abs=0.051)
        assert float(vibration) == pytest.approx(sum(row["vibration"] for row in own) / len(own), abs=0.00051)


def started_by(stack: DeployedStack, cause: str) -> str | None:
    """Return the ARN of the execution that the success of another has started."""
    run_id = cause.rsplit(":", 1)[1]
    for execution in stack.executions():
        described = stack.aws.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
        event = json.loads(described["input"]).get("trigger", {}).get("event", {})
        if event.get("detail", {}).get("run") == run_id:
            arn: str = described["executionArn"]
            return arn
    return None
