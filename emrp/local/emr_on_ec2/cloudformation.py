"""CloudFormation's resource types AWS::EMR::Cluster and AWS::EMR::Step.

A cluster is created when it takes steps, a step when it has completed; what fails before fails the stack.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ministack import app

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.in_process import InProcessClient
from emrp.local.emr_on_ec2.records import ACTIVE_STEP, READY, TERMINATED, StepState
from emrp.local.emr_serverless.in_process import to_api
from emrp.local.patches.anchors import replace, require_names, require_source, when_first_asked

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]

CLUSTER, STEP = "AWS::EMR::Cluster", "AWS::EMR::Step"
_RENAMED = {"ConfigurationProperties": "Properties", "StepProperties": "Properties"}
_PARTS = {  # what a template has for each role, and its list and the role's name in the API
    "MasterInstanceGroup": ("InstanceGroups", "InstanceRole", "MASTER"),
    "CoreInstanceGroup": ("InstanceGroups", "InstanceRole", "CORE"),
    "TaskInstanceGroups": ("InstanceGroups", "InstanceRole", "TASK"),
    "MasterInstanceFleet": ("InstanceFleets", "InstanceFleetType", "MASTER"),
    "CoreInstanceFleet": ("InstanceFleets", "InstanceFleetType", "CORE"),
    "TaskInstanceFleets": ("InstanceFleets", "InstanceFleetType", "TASK"),
}
_UPDATED = {"AutoTerminationPolicy", "Instances", "ManagedScalingPolicy", "StepConcurrencyLevel", "Tags"}
_STEP_ENDS = frozenset(StepState) - ACTIVE_STEP
_RUNS_ON_WORKER_THREAD = "23955511141f"  # the digest of its source


class NotStabilized(Exception):  # noqa: N818 -- CloudFormation's words: "did not stabilize"
    """A cluster or a step that failed while its stack waited for it; the message becomes the stack's reason."""


def install(client: InProcessClient) -> None:
    """Make stacks create, update and delete clusters and steps."""
    names = "_RESOURCE_HANDLERS", "_STACK_TAG_PROPERTY", "_REPLACING_PROPERTIES"
    require_names("services/cloudformation/provisioners.py", *names)
    require_source("services/cloudformation/stacks.py", "_runs_on_worker_thread", _RUNS_ON_WORKER_THREAD)
    when_first_asked(app.SERVICE_HANDLERS, "cloudformation", partial(_install, client))


def _install(client: InProcessClient) -> None:
    from ministack.services.cloudformation import provisioners, stacks  # noqa: PLC0415 -- takes a second

    provisioners._RESOURCE_HANDLERS[CLUSTER] = {
        "create": partial(_create_cluster, client),
        "update": partial(_update_cluster, client),
        "delete": partial(_delete_cluster, client),
    }
    provisioners._RESOURCE_HANDLERS[STEP] = {
        "create": partial(_create_step, client),
        "delete": partial(_delete_step, client),
    }
    provisioners._STACK_TAG_PROPERTY[CLUSTER] = ("Tags", "list")
    known = set(protocol.input_shape("RunJobFlow").members) - _UPDATED
    provisioners._REPLACING_PROPERTIES[CLUSTER] = tuple(sorted(known))
    provisioners._REPLACING_PROPERTIES[STEP] = ("ActionOnFailure", "HadoopJarStep", "JobFlowId", "Name")
    replace(stacks, "_runs_on_worker_thread", _RUNS_ON_WORKER_THREAD, _or_waits)


def _or_waits(runs_on_worker_thread: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda resource_type: resource_type in {CLUSTER, STEP} or runs_on_worker_thread(resource_type)


def _create_cluster(client: InProcessClient, _logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    cluster_id: str = client.call("RunJobFlow", run_job_flow(properties))["JobFlowId"]
    cluster = client.when(cluster_id, partial(client.cluster, cluster_id), READY | TERMINATED)
    reason = cluster["Status"]["StateChangeReason"]
    if cluster["Status"]["State"] in TERMINATED and reason.get("Code") != "ALL_STEPS_COMPLETED":
        raise NotStabilized(f"Cluster {cluster_id} did not stabilize: {reason.get('Message', '')}")
    return _provisioned(cluster)


def _update_cluster(
    client: InProcessClient, cluster_id: str, old: Properties, new: Properties, _stack: str
) -> Provisioned:
    before, after = run_job_flow(old), run_job_flow(new)
    changed = {name for name in _UPDATED if before.get(name) != after.get(name)}
    if "Instances" in changed:
        _update_instances(client, cluster_id, before["Instances"], after["Instances"])
    if "StepConcurrencyLevel" in changed:
        level = after.get("StepConcurrencyLevel", 1)
        client.call("ModifyCluster", {"ClusterId": cluster_id, "StepConcurrencyLevel": level})
    for policy in changed & {"AutoTerminationPolicy", "ManagedScalingPolicy"}:
        if policy in after:
            client.call(f"Put{policy}", {"ClusterId": cluster_id, policy: after[policy]})
        else:
            client.call(f"Remove{policy}", {"ClusterId": cluster_id})
    if "Tags" in changed:
        client.call("RemoveTags", {"ResourceId": cluster_id, "TagKeys": [tag["Key"] for tag in before["Tags"]]})
        client.call("AddTags", {"ResourceId": cluster_id, "Tags": after["Tags"]})
    return _provisioned(client.cluster(cluster_id))


def _update_instances(client: InProcessClient, cluster_id: str, before: Properties, after: Properties) -> None:
    """Change the protection and the sizes of a cluster, which is all that AWS changes without a new one."""
    if before.get("TerminationProtected") != after.get("TerminationProtected"):
        protected = after.get("TerminationProtected", False)
        client.call("SetTerminationProtection", {"JobFlowIds": [cluster_id], "TerminationProtected": protected})
    groups = client.call("ListInstanceGroups", {"ClusterId": cluster_id})["InstanceGroups"]
    for group, wanted in _pairs(groups, "InstanceGroupType", after.get("InstanceGroups", []), "InstanceRole"):
        if group["RequestedInstanceCount"] != wanted["InstanceCount"]:
            change = {"InstanceGroupId": group["Id"], "InstanceCount": wanted["InstanceCount"]}
            client.call("ModifyInstanceGroups", {"ClusterId": cluster_id, "InstanceGroups": [change]})
    fleets = client.call("ListInstanceFleets", {"ClusterId": cluster_id})["InstanceFleets"]
    for fleet, wanted in _pairs(fleets, "InstanceFleetType", after.get("InstanceFleets", []), "InstanceFleetType"):
        capacities = ("TargetOnDemandCapacity", "TargetSpotCapacity")
        change = {name: wanted[name] for name in capacities if name in wanted and wanted[name] != fleet.get(name)}
        if change:
            request = {"ClusterId": cluster_id, "InstanceFleet": {"InstanceFleetId": fleet["Id"], **change}}
            client.call("ModifyInstanceFleet", request)


def _pairs(
    parts: list[Properties], role: str, wanted: list[Properties], wanted_role: str
) -> Iterator[tuple[Properties, Properties]]:
    """Yield each instance group or fleet with what a template has under its role and name."""
    known = {(part[role], part["Name"]): part for part in parts}
    for part in wanted:
        key = part[wanted_role], part.get("Name", part[wanted_role])
        if key in known:
            yield known[key], part


def _delete_cluster(client: InProcessClient, cluster_id: str, _properties: Properties) -> None:
    client.call("TerminateJobFlows", {"JobFlowIds": [cluster_id]})
    client.when(cluster_id, partial(client.cluster, cluster_id), TERMINATED)


def _create_step(client: InProcessClient, _logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    configuration = {name: value for name, value in properties.items() if name != "JobFlowId"}
    request = {"JobFlowId": properties["JobFlowId"], "Steps": [_renamed(configuration)]}
    (step_id,) = client.call("AddJobFlowSteps", request)["StepIds"]
    step = client.when(step_id, partial(client.step, properties["JobFlowId"], step_id), _STEP_ENDS)
    if step["Status"]["State"] != StepState.COMPLETED:
        details = step["Status"].get("FailureDetails", {}).get("Message", "")
        raise NotStabilized(f"Step {step_id} is {step['Status']['State']}. {details}".strip())
    return step_id, {"Id": step_id}


def _delete_step(_client: InProcessClient, _step_id: str, _properties: Properties) -> None:
    """Leave a step that is over in the list of its cluster, as EMR does."""


def run_job_flow(properties: Properties) -> Properties:
    """Return the parameters of RunJobFlow that the properties of a cluster stand for."""
    parameters = _renamed(properties)
    instances: Properties = {"KeepJobFlowAliveWhenNoSteps": True}
    for name, value in parameters["Instances"].items():
        if name not in _PARTS:
            instances[name] = value
            continue
        members, role_member, role = _PARTS[name]
        parts = value if isinstance(value, list) else [value]
        instances.setdefault(members, []).extend({**part, role_member: role} for part in parts)
    translated: Properties = to_api({**parameters, "Instances": instances}, protocol.input_shape("RunJobFlow"))
    return translated


def _renamed(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    if isinstance(value, dict):
        return {_RENAMED.get(name, name): _renamed(item) for name, item in value.items()}
    return [_renamed(item) for item in value] if isinstance(value, list) else value


def _provisioned(cluster: Properties) -> Provisioned:
    attributes = {"MasterPublicDNS": cluster["MasterPublicDnsName"], "Id": cluster["Id"]}
    return cluster["Id"], attributes
