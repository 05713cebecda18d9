"""The operations on clusters: every public method is one, named as AWS names it."""

from typing import Any

from ministack.services import emr

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.records import ENDING, ClusterState, Record, new_status, state_of
from emrp.local.emr_on_ec2.registry import Registry, page_of
from emrp.local.emr_on_ec2.steps import StepOperations
from emrp.local.emr_serverless.errors import ApiError

Parameters = dict[str, Any]

MOST_CONCURRENT_STEPS = 256
_IDLE_TIMEOUT = range(60, 604_801)
_POLICIES = ("AutoTerminationPolicy", "ManagedScalingPolicy")


class ClusterOperations:
    """Clusters come, change and go."""

    def __init__(self, registry: Registry, steps: StepOperations) -> None:
        self._registry = registry
        self._steps = steps

    def run_job_flow(self, parameters: Parameters) -> Parameters:
        """Create a cluster; it comes up by itself."""
        _check_instances(parameters["Instances"])
        _check_level(parameters.get("StepConcurrencyLevel", 1))
        _check_idle_timeout(parameters.get("AutoTerminationPolicy", {}))
        created: Parameters = protocol.content(emr._run_job_flow({**parameters, "Steps": []}))
        made: Record = emr._clusters[created["JobFlowId"]]
        described = protocol.members("Cluster") - made.keys() | {*_POLICIES}
        cluster = emr._clusters[made["Id"]] = {
            **made,
            **{name: value for name, value in parameters.items() if name in described},
            "Status": new_status(ClusterState.STARTING),
            "Tags": list(made["Tags"]),
        }
        for part in [*cluster["InstanceGroups"], *cluster["InstanceFleets"]]:
            part["Status"] = new_status("PROVISIONING")
        self._steps.make(cluster, parameters.get("Steps", []), parameters.get("StepExecutionRoleArn"))
        self._registry.add(cluster["Id"])
        return created

    def describe_cluster(self, parameters: Parameters) -> Parameters:
        """Return a cluster."""
        return {"Cluster": self._registry.find(parameters["ClusterId"]).cluster}

    def list_clusters(self, parameters: Parameters) -> Parameters:
        """Return clusters, the newest first."""
        states = parameters.get("ClusterStates", [])
        after, before = parameters.get("CreatedAfter", 0), parameters.get("CreatedBefore", float("inf"))
        chosen = [
            cluster
            for cluster in self._registry.clusters()
            if (not states or state_of(cluster) in states) and after <= _created(cluster) <= before
        ]
        page, marker = page_of(sorted(chosen, key=_created, reverse=True), parameters.get("Marker"))
        return {"Clusters": page, "Marker": marker}

    def terminate_job_flows(self, parameters: Parameters) -> Parameters:
        """Shut clusters down; those that are protected make the call fail when the others go."""
        clusters = [self._registry.find_job_flow(name) for name in parameters["JobFlowIds"]]
        for live in clusters:
            if not live.cluster["TerminationProtected"]:
                live.terminate("USER_REQUEST", "Terminated by user request")
        if any(live.cluster["TerminationProtected"] and live.state not in ENDING for live in clusters):
            message = "Could not shut down one or more job flows since they are termination protected."
            raise ApiError("ValidationException", message)
        return {}

    def modify_cluster(self, parameters: Parameters) -> Parameters:
        """Change how many steps may run at a time."""
        live = self._registry.modifiable(parameters["ClusterId"])
        if level := parameters.get("StepConcurrencyLevel"):
            _check_level(level)
            live.cluster["StepConcurrencyLevel"] = level
            live.advance()
        if "ExtendedSupport" in parameters:
            live.cluster["ExtendedSupport"] = parameters["ExtendedSupport"]
        return {name: live.cluster.get(name) for name in ("StepConcurrencyLevel", "ExtendedSupport")}

    def set_termination_protection(self, parameters: Parameters) -> Parameters:
        """Protect clusters from being shut down, or no more."""
        return self._set(parameters, "TerminationProtected", value=parameters["TerminationProtected"])

    def set_keep_job_flow_alive_when_no_steps(self, parameters: Parameters) -> Parameters:
        """Let clusters wait for further steps, or end after the last."""
        alive: bool = parameters["KeepJobFlowAliveWhenNoSteps"]
        return self._set(parameters, "AutoTerminate", value=not alive)

    def set_visible_to_all_users(self, parameters: Parameters) -> Parameters:
        """Say who sees clusters; here everybody does."""
        return self._set(parameters, "VisibleToAllUsers", value=parameters["VisibleToAllUsers"])

    def set_unhealthy_node_replacement(self, parameters: Parameters) -> Parameters:
        """Say whether sick nodes are replaced; here are none."""
        return self._set(parameters, "UnhealthyNodeReplacement", value=parameters["UnhealthyNodeReplacement"])

    def put_auto_termination_policy(self, parameters: Parameters) -> Parameters:
        """Have an idle cluster end by itself after a time."""
        policy = parameters.get("AutoTerminationPolicy", {})
        _check_idle_timeout(policy)
        live = self._registry.modifiable(parameters["ClusterId"])
        live.cluster["AutoTerminationPolicy"] = policy
        live.policy_changed()
        return {}

    def get_auto_termination_policy(self, parameters: Parameters) -> Parameters:
        """Return the policy of a cluster, if it has one."""
        cluster = self._registry.find(parameters["ClusterId"]).cluster
        return {"AutoTerminationPolicy": cluster.get("AutoTerminationPolicy")}

    def remove_auto_termination_policy(self, parameters: Parameters) -> Parameters:
        """Let an idle cluster wait for ever."""
        live = self._registry.find(parameters["ClusterId"])
        live.cluster.pop("AutoTerminationPolicy", None)
        live.policy_changed()
        return {}

    def put_managed_scaling_policy(self, parameters: Parameters) -> Parameters:
        """Keep a policy by which nothing is scaled here."""
        self._registry.modifiable(parameters["ClusterId"]).cluster["ManagedScalingPolicy"] = parameters[
            "ManagedScalingPolicy"
        ]
        return {}

    def get_managed_scaling_policy(self, parameters: Parameters) -> Parameters:
        """Return the policy of a cluster, if it has one."""
        cluster = self._registry.find(parameters["ClusterId"]).cluster
        return {"ManagedScalingPolicy": cluster.get("ManagedScalingPolicy")}

    def remove_managed_scaling_policy(self, parameters: Parameters) -> Parameters:
        """Forget the policy of a cluster."""
        self._registry.find(parameters["ClusterId"]).cluster.pop("ManagedScalingPolicy", None)
        return {}

    def _set(self, parameters: Parameters, member: str, *, value: bool) -> Parameters:
        for live in [self._registry.find_job_flow(name) for name in parameters["JobFlowIds"]]:
            live.cluster[member] = value
            live.advance()
        return {}


def _created(cluster: Record) -> float:
    moment: float = cluster["Status"]["Timeline"]["CreationDateTime"]
    return moment


def _check_instances(instances: Parameters) -> None:
    groups, fleets = instances.get("InstanceGroups", []), instances.get("InstanceFleets", [])
    if groups and fleets:
        raise ApiError("ValidationException", "Instance fleets and instance groups are mutually exclusive.")
    roles = [part.get("InstanceRole") or part.get("InstanceFleetType") for part in [*groups, *fleets]]
    if roles and roles.count("MASTER") != 1:
        raise ApiError("ValidationException", "The cluster must have exactly one MASTER instance group or fleet.")


def _check_level(level: int) -> None:
    if not 1 <= level <= MOST_CONCURRENT_STEPS:
        message = f"The StepConcurrencyLevel must be between 1 and {MOST_CONCURRENT_STEPS}."
        raise ApiError("ValidationException", message)


def _check_idle_timeout(policy: Parameters) -> None:
    timeout = policy.get("IdleTimeout", _IDLE_TIMEOUT.start)
    if timeout not in _IDLE_TIMEOUT:
        message = f"The IdleTimeout must be between {_IDLE_TIMEOUT.start} and {_IDLE_TIMEOUT.stop - 1} seconds."
        raise ApiError("ValidationException", message)
