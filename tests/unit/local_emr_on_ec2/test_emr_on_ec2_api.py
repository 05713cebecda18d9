"""The API of the local EMR on EC2: what it lists, changes and refuses."""

from typing import Any

import pytest

from emrp.local.emr_on_ec2.authorization import permissions
from tests.unit.local_emr_on_ec2.harness import KEEP_ALIVE, Harness, step
from tests.unit.local_emr_serverless.harness import refusal

FLEETS: list[dict[str, Any]] = [
    {"Name": kind, "InstanceFleetType": kind, "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": []}
    for kind in ("MASTER", "CORE")
]
GROUPS = [
    {"Name": kind, "InstanceRole": kind, "InstanceType": "m5.xlarge", "InstanceCount": 1} for kind in ("MASTER", "CORE")
]
ALIVE = {"KeepJobFlowAliveWhenNoSteps": True}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Instances": {"InstanceGroups": GROUPS, "InstanceFleets": FLEETS}}, "mutually exclusive"),
        ({"Instances": {"InstanceGroups": GROUPS[1:]}}, "exactly one MASTER"),
        ({"StepConcurrencyLevel": 257}, "between 1 and 256"),
        ({"AutoTerminationPolicy": {"IdleTimeout": 59}}, "between 60 and 604800"),
        ({"Steps": [step("one") | {"ActionOnFailure": "SHRUG"}]}, "Member must satisfy enum value set"),
    ],
)
async def test_cluster_is_refused_when_a_parameter_is_wrong(
    emr: Harness, parameters: dict[str, Any], message: str
) -> None:
    request = {"Name": "wrong", "Instances": KEEP_ALIVE, **parameters}
    status, code, found = refusal(emr.client.run_job_flow, **request)
    assert (status, code) == (400, "ValidationException")
    assert message in found
    assert emr.client.list_clusters()["Clusters"] == []


@pytest.mark.parametrize(
    ("operation", "parameters", "code", "message"),
    [
        ("describe_cluster", {"ClusterId": "j-NONE"}, "InvalidRequestException", "Cluster id 'j-NONE' is not valid."),
        ("list_steps", {"ClusterId": "j-NONE"}, "InvalidRequestException", "Cluster id 'j-NONE' is not valid."),
        ("list_instance_groups", {"ClusterId": "j-NONE"}, "InvalidRequestException", "is not valid."),
        ("terminate_job_flows", {"JobFlowIds": ["j-NONE"]}, "ValidationException", "Specified job flow ID not valid"),
        ("add_job_flow_steps", {"JobFlowId": "j-NONE", "Steps": []}, "ValidationException", "job flow ID not valid"),
        ("list_studios", {}, "ValidationException", "ListStudios is not supported locally"),
    ],
)
async def test_call_is_refused_when_what_it_names_does_not_exist(
    emr: Harness, operation: str, parameters: dict[str, Any], code: str, message: str
) -> None:
    _, found, text = refusal(getattr(emr.client, operation), **parameters)
    assert found == code
    assert message in text


async def test_step_is_refused_when_its_cluster_has_ended_or_it_is_unknown(emr: Harness) -> None:
    cluster_id = emr.run_job_flow()
    _, code, message = refusal(emr.client.describe_step, ClusterId=cluster_id, StepId="s-NONE")
    assert (code, message) == ("InvalidRequestException", "Step id 's-NONE' is not valid.")
    emr.client.terminate_job_flows(JobFlowIds=[cluster_id])
    _, code, message = refusal(emr.client.add_job_flow_steps, JobFlowId=cluster_id, Steps=[step("late")])
    assert code == "ValidationException"
    assert message == "A job flow that is shutting down, terminated, or finished may not be modified."


async def test_steps_are_refused_when_there_are_too_many_or_their_action_does_not_suit_the_cluster(
    emr: Harness,
) -> None:
    cluster_id = emr.run_job_flow(StepConcurrencyLevel=2)
    steps = [step("one", action="CANCEL_AND_WAIT")]
    _, _, message = refusal(emr.client.add_job_flow_steps, JobFlowId=cluster_id, Steps=steps)
    assert "ActionOnFailure CANCEL_AND_WAIT is not valid" in message
    _, _, message = refusal(emr.client.add_job_flow_steps, JobFlowId=cluster_id, Steps=[step("one")] * 257)
    assert "Maximum number of active steps" in message
    assert emr.steps(cluster_id) == {}


async def test_clusters_and_steps_are_listed_newest_first_and_in_pages_when_there_are_many(emr: Harness) -> None:
    clusters = [emr.run_job_flow(Name=str(number)) for number in range(52)]
    pages = list(emr.client.get_paginator("list_clusters").paginate())
    assert [len(page["Clusters"]) for page in pages] == [50, 2]
    assert {found["Id"] for page in pages for found in page["Clusters"]} == set(clusters)
    assert emr.client.list_clusters(ClusterStates=["TERMINATED"])["Clusters"] == []

    steps = [step(str(number)) for number in range(3)]
    ids = emr.client.add_job_flow_steps(JobFlowId=clusters[0], Steps=steps)["StepIds"]
    listed = emr.client.list_steps(ClusterId=clusters[0])["Steps"]
    assert [found["Id"] for found in listed] == ids[::-1]
    chosen = emr.client.list_steps(ClusterId=clusters[0], StepIds=ids[:1])["Steps"]
    assert [found["Id"] for found in chosen] == ids[:1]


async def test_instance_groups_are_resized_when_the_cluster_is_ready(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(Instances=ALIVE | {"InstanceGroups": GROUPS})
    core = emr.client.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"][1]
    change = [{"InstanceGroupId": core["Id"], "InstanceCount": 8}]
    assert core["Status"]["State"] == "PROVISIONING"
    assert "running or waiting" in refusal(emr.client.modify_instance_groups, InstanceGroups=change)[2]

    await emr.cluster_reaches(cluster_id, "WAITING")
    emr.client.modify_instance_groups(InstanceGroups=change)
    resized = emr.client.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"][1]
    assert (resized["RequestedInstanceCount"], resized["RunningInstanceCount"]) == (8, 8)
    assert resized["Status"]["State"] == "RUNNING"
    task = {"InstanceRole": "TASK", "InstanceType": "m5.xlarge", "InstanceCount": 2}
    added = emr.client.add_instance_groups(JobFlowId=cluster_id, InstanceGroups=[task])
    assert len(added["InstanceGroupIds"]) == 1
    assert "is not valid" in refusal(emr.client.modify_instance_groups, InstanceGroups=[{"InstanceGroupId": "ig-X"}])[2]


async def test_instance_fleets_are_resized_when_the_cluster_is_ready(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(Instances=ALIVE | {"InstanceFleets": FLEETS})
    await emr.cluster_reaches(cluster_id, "WAITING")
    core = emr.client.list_instance_fleets(ClusterId=cluster_id)["InstanceFleets"][1]
    change = {"InstanceFleetId": core["Id"], "TargetOnDemandCapacity": 8, "TargetSpotCapacity": 2}
    emr.client.modify_instance_fleet(ClusterId=cluster_id, InstanceFleet=change)
    resized = emr.client.list_instance_fleets(ClusterId=cluster_id)["InstanceFleets"][1]
    assert (resized["ProvisionedOnDemandCapacity"], resized["ProvisionedSpotCapacity"]) == (8, 2)
    unknown = {"InstanceFleetId": "if-X"}
    refused = refusal(emr.client.modify_instance_fleet, ClusterId=cluster_id, InstanceFleet=unknown)
    assert refused[1] == "InvalidRequestException"
    task = {"InstanceFleetType": "TASK", "TargetSpotCapacity": 3}
    assert emr.client.add_instance_fleet(ClusterId=cluster_id, InstanceFleet=task)["InstanceFleetId"]


async def test_cluster_is_described_with_what_it_was_made_of_when_it_was_made(emr: Harness) -> None:
    made = {
        "LogUri": "s3://logs/",
        "Configurations": [{"Classification": "spark-defaults", "Properties": {"a": "b"}}],
        "Applications": [{"Name": "Spark"}],
        "Tags": [{"Key": "team", "Value": "data"}],
        "ScaleDownBehavior": "TERMINATE_AT_TASK_COMPLETION",
    }
    cluster_id = emr.run_job_flow(**made)
    described = emr.cluster(cluster_id)
    assert {name: described[name] for name in made} == made
    assert described["MasterPublicDnsName"]
    emr.client.add_tags(ResourceId=cluster_id, Tags=[{"Key": "run", "Value": "1"}])
    emr.client.remove_tags(ResourceId=cluster_id, TagKeys=["team"])
    assert emr.cluster(cluster_id)["Tags"] == [{"Key": "run", "Value": "1"}]


async def test_cluster_ends_after_its_last_step_when_it_is_no_longer_kept_alive(emr: Harness) -> None:
    cluster_id = emr.run_job_flow()
    await emr.cluster_reaches(cluster_id, "WAITING")
    emr.client.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[cluster_id], KeepJobFlowAliveWhenNoSteps=False)
    await emr.cluster_reaches(cluster_id, "TERMINATED")


def test_tags_and_roles_must_be_allowed_when_a_cluster_is_given_some() -> None:
    tags = [{"Key": "team", "Value": "data"}]
    asked = list(permissions("RunJobFlow", {"ServiceRole": "service", "JobFlowRole": "instances", "Tags": tags}))
    assert [(found.action, found.resource) for found in asked] == [
        ("elasticmapreduce:RunJobFlow", "*"),
        ("elasticmapreduce:AddTags", "arn:aws:elasticmapreduce:us-east-1:000000000000:cluster/*"),
        ("iam:PassRole", "arn:aws:iam::000000000000:role/service"),
        ("iam:PassRole", "arn:aws:iam::000000000000:role/instances"),
    ]
    assert asked[0].context == {
        "aws:RequestTag/team": "data",
        "elasticmapreduce:RequestTag/team": "data",
        "aws:TagKeys": ["team"],
    }
    services = [found.context["iam:PassedToService"] for found in asked[2:]]
    assert services == ["elasticmapreduce.amazonaws.com", "ec2.amazonaws.com"]


async def test_every_cluster_must_be_allowed_with_its_tags_when_a_request_names_some(emr: Harness) -> None:
    groups = ALIVE | {"InstanceGroups": GROUPS}
    ids = [emr.run_job_flow(Tags=[{"Key": "run", "Value": str(number)}], Instances=groups) for number in range(2)]
    asked = list(permissions("TerminateJobFlows", {"JobFlowIds": ids}))
    assert [found.resource.rpartition("/")[2] for found in asked] == ids
    assert [found.context["aws:ResourceTag/run"] for found in asked] == ["0", "1"]
    group_id = emr.client.list_instance_groups(ClusterId=ids[1])["InstanceGroups"][0]["Id"]
    (resize,) = permissions("ModifyInstanceGroups", {"InstanceGroups": [{"InstanceGroupId": group_id}]})
    assert resize.resource.endswith(ids[1])
    (listing,) = permissions("ListClusters", {})
    assert (listing.resource, listing.context) == ("*", {})
