"""The local EMR on EC2 from outside: real steps, events, logs, IAM, and what is left when its server is killed."""

import gzip
import io
import json
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from emrp.local import ACCOUNT_ID, REGION, lifecycle
from tests.local.conftest import LocalAwsUnderTest

SPARK = """\
import os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(10).coalesce(1).write.csv(sys.argv[1])
print("wrote", spark.conf.get("spark.from.cluster"))
"""
BOOTSTRAP = 'sudo -u hadoop echo "as $(id -un) in $HOME"\nsudo yum install -y jq\naws --version || true\n'
LONG = 120.0


def step(name: str, *arguments: str, jar: str = "command-runner.jar") -> dict[str, Any]:
    return {"Name": name, "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": jar, "Args": list(arguments)}}


def state(emr: Any, cluster_id: str) -> str:
    found: str = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"]
    return found


@pytest.mark.spark
def test_steps_run_for_real_with_events_and_logs_when_a_cluster_has_some(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    emr, s3, bucket = local_aws.client("emr"), local_aws.client("s3"), unique("emr-on-ec2")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="job.py", Body=SPARK)
    s3.put_object(Bucket=bucket, Key="boot.sh", Body=BOOTSTRAP)
    s3.put_object(Bucket=bucket, Key="version.jar", Body=jar("org.apache.hadoop.util.VersionInfo"))
    queue = queue_of_events(local_aws, bucket)
    submit = ("spark-submit", "--deploy-mode", "cluster", "--master", "yarn", "--num-executors", "2")

    cluster_id = emr.run_job_flow(
        Name=bucket,
        ReleaseLabel="emr-7.9.0",
        LogUri=f"s3://{bucket}/logs/",
        StepConcurrencyLevel=2,
        Instances={"InstanceCount": 1},
        Configurations=[{"Classification": "spark-defaults", "Properties": {"spark.from.cluster": "yes"}}],
        BootstrapActions=[{"Name": "boot", "ScriptBootstrapAction": {"Path": f"s3://{bucket}/boot.sh"}}],
        Steps=[
            step("spark", *submit, f"s3://{bucket}/job.py", f"s3://{bucket}/out"),
            step("jar", jar=f"s3://{bucket}/version.jar"),
        ],
    )["JobFlowId"]
    eventually(lambda: state(emr, cluster_id).startswith("TERMINATED"), LONG, every=0.2)

    steps = {found["Name"]: found for found in emr.list_steps(ClusterId=cluster_id)["Steps"]}
    assert {name: found["Status"]["State"] for name, found in steps.items()} == dict.fromkeys(steps, "COMPLETED")
    written = s3.list_objects_v2(Bucket=bucket, Prefix="out/part")["Contents"]
    assert s3.get_object(Bucket=bucket, Key=written[0]["Key"])["Body"].read().split() == [b"%d" % n for n in range(10)]

    def log(path: str) -> str:
        body = s3.get_object(Bucket=bucket, Key=f"logs/{cluster_id}/{path}.gz")["Body"].read()
        return gzip.decompress(body).decode()

    assert log(f"steps/{steps['spark']['Id']}/stdout") == "wrote yes\n"
    assert "SparkContext" in log(f"steps/{steps['spark']['Id']}/stderr")
    assert "succeeded with exitCode 0" in log(f"steps/{steps['spark']['Id']}/controller")
    assert "Hadoop 3" in log(f"steps/{steps['jar']['Id']}/stdout")
    assert f"emr_on_ec2/{cluster_id}/bootstrap-action-1" in log("node/i-local/bootstrap-actions/1/stdout")
    assert "yum install -y jq is left out" in log("node/i-local/bootstrap-actions/1/stderr")

    seen = received(local_aws, queue, eventually)
    assert [event["state"] for event in seen if "stepId" not in event] == ["STARTING", "RUNNING", "TERMINATED"]
    for found in steps.values():
        told = [event["state"] for event in seen if event.get("stepId") == found["Id"]]
        assert told == ["PENDING", "RUNNING", "COMPLETED"]


def jar(main_class: str) -> bytes:
    """A JAR whose main class is one that every driver has."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\nMain-Class: {main_class}\n")
    return archive.getvalue()


def queue_of_events(local_aws: LocalAwsUnderTest, name: str) -> str:
    """A queue that gets the events of the clusters of a name."""
    sqs, events = local_aws.client("sqs"), local_aws.client("events")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.emr"], "detail": {"message": [{"wildcard": f"*({name})*"}]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return url


def received(local_aws: LocalAwsUnderTest, url: str, eventually: Callable[..., Any]) -> list[dict[str, Any]]:
    """The details of all events up to the end of the cluster, in order."""
    sqs = local_aws.client("sqs")
    details: list[dict[str, Any]] = []

    def all_are_there() -> bool:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            details.append(json.loads(message["Body"])["detail"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return any(detail["state"] == "TERMINATED" for detail in details)

    eventually(all_are_there)
    return details


def test_call_is_refused_when_the_callers_role_does_not_allow_it(
    enforcing_aws: LocalAwsUnderTest, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    name = unique("clusters")
    keys = role_with(
        enforcing_aws,
        name,
        {
            "Action": ["elasticmapreduce:RunJobFlow", "elasticmapreduce:AddTags"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestTag/team": name}},
        },
        {"Action": "elasticmapreduce:DescribeCluster", "Resource": "*"},
        {
            "Action": "elasticmapreduce:TerminateJobFlows",
            "Resource": f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT_ID}:cluster/*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": name}},
        },
        {"Action": "iam:PassRole", "Resource": f"arn:aws:iam::{ACCOUNT_ID}:role/EMR_DefaultRole"},
    )
    session: Any = boto3.Session(*keys, region_name=REGION)
    emr = session.client("emr", endpoint_url=enforcing_aws.endpoint_url)
    alive = {"KeepJobFlowAliveWhenNoSteps": True}
    request = {"Name": name, "Instances": alive, "Tags": [{"Key": "team", "Value": name}]}

    for changed, action in (
        ({"Tags": []}, "elasticmapreduce:RunJobFlow"),
        ({"ServiceRole": "other"}, "iam:PassRole"),
        ({"JobFlowRole": "EMR_EC2_DefaultRole"}, "iam:PassRole"),
    ):
        assert action in denied(emr.run_job_flow, **request | changed)
    cluster_id = emr.run_job_flow(**request, ServiceRole="EMR_DefaultRole")["JobFlowId"]
    eventually(lambda: state(emr, cluster_id) == "WAITING")
    assert "elasticmapreduce:ListSteps" in denied(emr.list_steps, ClusterId=cluster_id)
    other = enforcing_aws.client("emr").run_job_flow(Name="other", Instances=alive)["JobFlowId"]
    assert "elasticmapreduce:TerminateJobFlows" in denied(emr.terminate_job_flows, JobFlowIds=[cluster_id, other])
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    eventually(lambda: state(emr, cluster_id) == "TERMINATED")
    enforcing_aws.client("emr").terminate_job_flows(JobFlowIds=[other])


def role_with(aws: LocalAwsUnderTest, name: str, *statements: dict[str, Any]) -> tuple[str, str, str]:
    """The keys of a new role that may do what statements allow."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    arn = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    aws.client("iam").put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
    given = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]


def denied(call: Callable[..., Any], **parameters: Any) -> str:
    """The message with which a call is denied."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    message: str = error["Message"]
    return message


@pytest.mark.spark
def test_cluster_goes_on_when_its_server_was_killed(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        emr = LocalAwsUnderTest(server).client("emr")
        cluster_id = emr.run_job_flow(
            Name="killed",
            Instances={"KeepJobFlowAliveWhenNoSteps": True},
            Steps=[step("first", "spark-submit", "s3://none/job.py"), step("second", "state-pusher-script")],
        )["JobFlowId"]
        first = eventually(
            lambda: next(iter(emr.list_steps(ClusterId=cluster_id, StepStates=["RUNNING"])["Steps"]), None)
        )
        os.kill(server.pid, signal.SIGKILL)
    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        emr = LocalAwsUnderTest(server).client("emr")
        eventually(lambda: state(emr, cluster_id) == "WAITING")
        second, again = emr.list_steps(ClusterId=cluster_id)["Steps"]
        assert again["Id"] == first["Id"]
        assert again["Status"]["StateChangeReason"]["Message"].startswith("The local AWS ended")
        assert [again["Status"]["State"], second["Status"]["State"]] == ["FAILED", "FAILED"]
        assert "is not on this machine" in second["Status"]["FailureDetails"]["Message"]
