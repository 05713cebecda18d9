"""Step Functions and CloudFormation with the local EMR on EC2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emrp.local import REGION
from tests.local.conftest import LocalAwsUnderTest

API = "arn:aws:states:::elasticmapreduce:"
BUCKET = "emr-on-ec2-integrations"
# The example states of the page, word for word.
PAGE = Path(__file__).with_name("emr_integration_page.json")
# What its step runs is AWS's; this does the same with its own log.
HIVE = r"""
CREATE EXTERNAL TABLE requests (date DATE, uri STRING, os STRING)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'
WITH SERDEPROPERTIES ("input.regex" = "(\\S+)\\s+(\\S+)\\s+.*\\((\\w+).*\\)")
LOCATION '${INPUT}/cloudfront/data';
INSERT OVERWRITE DIRECTORY '${OUTPUT}/os_requests/' ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
SELECT os, count(*) FROM requests GROUP BY os;
"""
LOG = """2026-07-05	/index.html	Mozilla/5.0 (Linux; x86_64)
2026-07-05	/logo.png	Mozilla/5.0 (Linux; x86_64)
2026-07-06	/index.html	Mozilla/5.0 (Android; Mobile)
"""
LONG = 120.0
GROUPS = [
    {"Name": name, "InstanceRole": role, "InstanceType": "m5.xlarge", "InstanceCount": 1}
    for name, role in (("MASTER", "MASTER"), ("MyCoreGroup", "CORE"))
]


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAwsUnderTest) -> str:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="boot.sh", Body="sudo yum install -y jq\necho $1 is installed\nexit $2\n")
    return BUCKET


@pytest.fixture(scope="module")
def samples(local_aws: LocalAwsUnderTest, bucket: str) -> str:
    """What the page takes for granted: AWS's bucket with samples, one for logs, and ours."""
    s3, samples = local_aws.client("s3"), f"{REGION}.elasticmapreduce.samples"
    for name in (samples, "aws-logs-123456789012-us-east-1"):
        s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=samples, Key="cloudfront/code/Hive_CloudFront.q", Body=HIVE)
    s3.put_object(Bucket=samples, Key="cloudfront/data/access.log", Body=LOG)
    return bucket


def lines_below(local_aws: LocalAwsUnderTest, prefix: str) -> list[str]:
    """All lines of the objects below a prefix, sorted."""
    s3 = local_aws.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    bodies = [s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().decode() for item in found]
    return sorted("".join(bodies).splitlines())


def task(api: str, parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": API + api, "Parameters": parameters, **fields}


def machine(**states: dict[str, Any]) -> dict[str, Any]:
    """A machine in which every state comes after the one before it and leaves its result below its name."""
    names = [*states, None]
    for name, following in zip(states, names[1:], strict=True):
        state = {"ResultPath": f"$.{name}", **states[name]}
        state.pop("End", None)
        states[name] = state | ({"Next": following} if following else {"End": True})
    return {"QueryLanguage": "JSONPath", "StartAt": names[0], "States": states}


def step(*arguments: str) -> dict[str, Any]:
    jar = {"Jar": "command-runner.jar", "Args": list(arguments)}
    return {"Name": "The first step", "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar}


@pytest.mark.spark
def test_examples_of_the_integration_page_succeed_in_one_machine_when_their_placeholders_are_filled(
    local_aws: LocalAwsUnderTest, samples: str
) -> None:
    """Region, bucket and cluster ids are the page's placeholders; the states are as it prints them, one after another.

    It resizes two clusters that it does not create: a cluster has either groups or fleets.
    """
    page = json.loads(PAGE.read_text().replace("<region>", REGION).replace("<mybucket>", samples))
    fleets = [
        {
            "InstanceFleetType": kind,
            "Name": name,
            "TargetOnDemandCapacity": 1,
            "InstanceTypeConfigs": [{"InstanceType": "m4.xlarge"}],
        }
        for kind, name in (("MASTER", "MASTER"), ("CORE", "MyCoreFleet"))
    ]
    kept = {"KeepJobFlowAliveWhenNoSteps": True}
    for kind in ("Group", "Fleet"):
        parameters = page[f"ModifyInstance{kind}ByName"]["Parameters"]
        assert parameters.pop("ClusterId") == "j-1234567890123"
        parameters["ClusterId.$"] = f"$.Create_{kind}s.ClusterId"
    page["Create_Cluster"]["ResultPath"] = "$"
    definition = machine(
        Create_Cluster=page["Create_Cluster"],
        Create_Groups=task("createCluster", {"Name": "groups", "Instances": kept | {"InstanceGroups": GROUPS}}),
        Create_Fleets=task("createCluster", {"Name": "fleets", "Instances": kept | {"InstanceFleets": fleets}}),
        Enable_Termination_Protection=page["Enable_Termination_Protection"],
        Step_One=page["Step_One"],
        AddStepsResult=task("addStep", page["Step_One"]["Parameters"]),
        Cancel_Step_One=page["Cancel_Step_One"],
        ModifyInstanceGroupByName=page["ModifyInstanceGroupByName"],
        ModifyInstanceFleetByName=page["ModifyInstanceFleetByName"],
        Disable_Termination_Protection=task(
            "setClusterTerminationProtection", {"ClusterId.$": "$.ClusterId", "TerminationProtected": False}
        ),
        Terminate_Cluster=page["Terminate_Cluster"],
        Terminate_Groups=task("terminateCluster.sync", {"ClusterId.$": "$.Create_Groups.ClusterId"}),
        Terminate_Fleets=task("terminateCluster.sync", {"ClusterId.$": "$.Create_Fleets.ClusterId"}),
    )
    execution = local_aws.start_execution(definition)

    described = local_aws.ended(execution, LONG)
    assert described["status"] == "SUCCEEDED", described.get("cause")
    output = json.loads(described["output"])
    assert output["Step_One"]["Step"]["Status"]["State"] == "COMPLETED"
    assert output["Cancel_Step_One"]["CancelStepsInfo"]["Status"] == "SUBMITTED"
    emr = local_aws.client("emr")
    for cluster in (output, output["Create_Groups"], output["Create_Fleets"]):
        ended = emr.describe_cluster(ClusterId=cluster["ClusterId"])["Cluster"]["Status"]
        assert (ended["State"], ended["StateChangeReason"]["Code"]) == ("TERMINATED", "USER_REQUEST")
    core = emr.list_instance_groups(ClusterId=output["Create_Groups"]["ClusterId"])["InstanceGroups"][1]
    assert core["RequestedInstanceCount"] == 8
    core = emr.list_instance_fleets(ClusterId=output["Create_Fleets"]["ClusterId"])["InstanceFleets"][1]
    assert core["TargetOnDemandCapacity"] == 8
    assert lines_below(local_aws, "MyHiveQueryResults/") == ["Android,1", "Linux,2"]


def test_failures_reach_the_machine_when_a_step_fails_or_a_name_is_unknown(local_aws: LocalAwsUnderTest) -> None:
    on_cluster = {"ClusterId.$": "$.ClusterId"}
    cluster = {
        "Name": "failures",
        "Instances": {"KeepJobFlowAliveWhenNoSteps": True, "InstanceGroups": GROUPS},
    }
    catch = {"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.failed", "Next": "Resize"}
    resize = {"InstanceGroupName": "MyCoreGroup", "InstanceGroup": {"InstanceCount": 8}}
    unknown = {"InstanceGroupName": "none", "InstanceGroup": {"InstanceCount": 8}}
    definition = machine(
        Create=task("createCluster.sync", cluster, ResultPath="$"),
        Step=task("addStep.sync", on_cluster | {"Step": step("state-pusher-script")}, Catch=[catch]),
        Resize=task("modifyInstanceGroupByName", on_cluster | resize),
        Unknown=task("modifyInstanceGroupByName", on_cluster | unknown),
    )
    described = local_aws.run(definition)

    assert described["error"] == "ElasticMapReduce.InvalidRequestException"
    assert "0 times an InstanceGroup named none" in described["cause"]
    emr = local_aws.client("emr")
    cluster_id = next(found["Id"] for found in emr.list_clusters()["Clusters"] if found["Name"] == "failures")
    assert emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"][1]["RunningInstanceCount"] == 8
    states = [found["Status"]["State"] for found in emr.list_steps(ClusterId=cluster_id)["Steps"]]
    assert states == ["FAILED"]
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "WAITING"
    emr.terminate_job_flows(JobFlowIds=[cluster_id])


@pytest.mark.spark
def test_step_is_cancelled_and_its_cluster_stays_when_the_execution_is_stopped(
    local_aws: LocalAwsUnderTest, bucket: str, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    emr, name = local_aws.client("emr"), unique("stopped")
    local_aws.client("s3").put_object(Bucket=bucket, Key="sleep.py", Body="import time\ntime.sleep(600)\n")
    cluster = {"Name": name, "Instances": {"KeepJobFlowAliveWhenNoSteps": True}}
    sleep = {"ClusterId.$": "$.ClusterId", "Step": step("spark-submit", f"s3://{bucket}/sleep.py")}
    execution = local_aws.start_execution(
        machine(Create=task("createCluster.sync", cluster, ResultPath="$"), Sleep=task("addStep.sync", sleep))
    )

    def steps(state: str) -> list[str]:
        found = [cluster["Id"] for cluster in emr.list_clusters()["Clusters"] if cluster["Name"] == name]
        return [found[0] for _ in emr.list_steps(ClusterId=found[0], StepStates=[state])["Steps"]] if found else []

    (cluster_id,) = eventually(lambda: steps("RUNNING"))
    local_aws.client("stepfunctions").stop_execution(executionArn=execution)
    assert eventually(lambda: steps("CANCELLED")) == [cluster_id]
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "WAITING"
    emr.terminate_job_flows(JobFlowIds=[cluster_id])


@pytest.mark.parametrize(
    ("api", "parameters", "error", "cause"),
    [
        ("terminateCluster", {"ClusterId": "j-NONE"}, "ElasticMapReduce.ValidationException", "ID not valid"),
        ("createCluster", {"Name": "x", "Steps": []}, "States.Runtime", "The field Steps is not supported"),
        ("createCluster", {"Name": "x", "Instances": {}}, "ElasticMapReduce.ValidationException", "must be true"),
        ("cancelStep", {"ClusterId": "j-NONE"}, "ElasticMapReduce.ValidationException", "The field StepId is required"),
        ("cancelStep.sync", {}, "States.Runtime", "is not supported by Step Functions"),
        ("listClusters", {}, "States.Runtime", "is not supported by Step Functions"),
    ],
)
def test_task_fails_when_the_request_is_wrong(
    local_aws: LocalAwsUnderTest, api: str, parameters: dict[str, Any], error: str, cause: str
) -> None:
    described = local_aws.run(machine(Call=task(api, parameters)))
    assert described["error"] == error
    assert cause in described["cause"]


def template(boot: str, exit_code: int, core: int = 1, protected: str = "false") -> str:
    group = {"InstanceType": "m5.xlarge"}
    cluster = {
        "Name": "stack",
        "ReleaseLabel": "emr-7.9.0",
        "ServiceRole": "EMR_DefaultRole",
        "JobFlowRole": "EMR_EC2_DefaultRole",
        "LogUri": f"s3://{BUCKET}/stacks/",
        "Configurations": [{"Classification": "spark-defaults", "ConfigurationProperties": {"spark.x": "1"}}],
        "BootstrapActions": [{"Name": "boot", "ScriptBootstrapAction": {"Path": boot, "Args": ["jq", str(exit_code)]}}],
        "Instances": {
            "MasterInstanceGroup": {**group, "InstanceCount": "1"},
            "CoreInstanceGroup": {**group, "InstanceCount": str(core), "Name": "core"},
            "TerminationProtected": protected,
        },
        "Tags": [{"Key": "team", "Value": "data"}],
    }
    outputs = {
        "Id": {"Value": {"Ref": "Cluster"}},
        "Master": {"Value": {"Fn::GetAtt": ["Cluster", "MasterPublicDNS"]}},
    }
    resources = {"Cluster": {"Type": "AWS::EMR::Cluster", "Properties": cluster}}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def test_stack_has_a_cluster_when_its_template_names_one(
    local_aws: LocalAwsUnderTest, bucket: str, unique: Callable[[str], str]
) -> None:
    cloudformation, emr = local_aws.client("cloudformation"), local_aws.client("emr")
    stack, boot = unique("stack"), f"s3://{bucket}/boot.sh"
    waiting = {"Delay": 1, "MaxAttempts": 30}

    cloudformation.create_stack(StackName=stack, TemplateBody=template(boot, 0))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=waiting)
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    cluster = emr.describe_cluster(ClusterId=outputs["Id"])["Cluster"]
    assert cluster["Status"]["State"] == "WAITING"
    assert cluster["MasterPublicDnsName"] == outputs["Master"]
    assert cluster["Configurations"][0]["Properties"] == {"spark.x": "1"}
    assert {"Key": "team", "Value": "data"} in cluster["Tags"]

    cloudformation.update_stack(StackName=stack, TemplateBody=template(boot, 0, core=3))
    cloudformation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=waiting)
    groups = emr.list_instance_groups(ClusterId=outputs["Id"])["InstanceGroups"]
    assert [group["RequestedInstanceCount"] for group in groups] == [1, 3]

    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=waiting)
    assert emr.describe_cluster(ClusterId=outputs["Id"])["Cluster"]["Status"]["State"] == "TERMINATED"


def reasons_of_rollback(cloudformation: Any, stack: str, resource: str, eventually: Callable[..., Any]) -> list[str]:
    """Wait until a stack is rolled back; returns what is said of one of its resources."""

    def rolled_back() -> bool:
        (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        status: str = described["StackStatus"]
        return status == "ROLLBACK_COMPLETE"

    eventually(rolled_back, every=0.2)
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return [event.get("ResourceStatusReason", "") for event in events if event["LogicalResourceId"] == resource]


def test_stack_is_rolled_back_with_the_reason_when_a_bootstrap_action_fails(
    local_aws: LocalAwsUnderTest, bucket: str, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    cloudformation = local_aws.client("cloudformation")
    stack = unique("stack")
    cloudformation.create_stack(StackName=stack, TemplateBody=template(f"s3://{bucket}/boot.sh", 1))

    reasons = reasons_of_rollback(cloudformation, stack, "Cluster", eventually)
    assert any("bootstrap action 1 returned a non-zero return code" in reason for reason in reasons)


def test_stack_has_a_step_when_it_has_completed_and_fails_when_it_has_not(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    cloudformation, emr = local_aws.client("cloudformation"), local_aws.client("emr")
    stack = unique("stack")
    cluster_id = emr.run_job_flow(Name=stack, Instances={"KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]
    properties = {"JobFlowId": cluster_id, **step("state-pusher-script")}
    resources = {"Step": {"Type": "AWS::EMR::Step", "Properties": properties}}
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": resources}))

    reasons = reasons_of_rollback(cloudformation, stack, "Step", eventually)
    assert any("is FAILED. The command state-pusher-script is not on this machine" in reason for reason in reasons)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
