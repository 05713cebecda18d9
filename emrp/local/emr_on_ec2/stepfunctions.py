"""Step Functions' optimised integration: `arn:aws:states:::elasticmapreduce:<api>`, request-response and `.sync`.

Its APIs differ from EMR's in names and shapes; each is a method here. A `.sync` task waits for events instead of
polling. When the execution stops waiting, a step is cancelled, but a cluster stays: so does AWS.
"""

import contextlib
import json
import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from ministack.services import stepfunctions

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.in_process import InProcessClient
from emrp.local.emr_on_ec2.records import ACTIVE_STEP, TERMINATED, ClusterState, StepState
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.in_process import UnknownMember, to_api
from emrp.local.patches.stepfunctions_execution import ExecutionEnded, wait_for

PREFIX = "arn:aws:states:::elasticmapreduce:"
# The last example of the page that describes the integration is printed so; all of its examples run here.
AS_MISPRINTED = "arn:aws::states:::elasticmapreduce:"
Members = dict[str, Any]

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")
_STEP_ENDS = frozenset(StepState) - ACTIVE_STEP
_WAITED_FOR = frozenset({"createCluster", "terminateCluster", "addStep"})
_APIS = _WAITED_FOR | {
    "setClusterTerminationProtection",
    "cancelStep",
    "modifyInstanceFleetByName",
    "modifyInstanceGroupByName",
}


def install(client: InProcessClient) -> None:
    """Make Task states with these resources work."""
    for prefix in (PREFIX, AS_MISPRINTED):
        stepfunctions._SERVICE_DISPATCH[prefix] = partial(_run_task, _Integration(client))


def _run_task(integration: "_Integration", resource: str, arguments: Members) -> Members:
    name, _, pattern = resource.rpartition(":")[2].partition(".")
    if name not in _APIS or pattern not in {"", "sync"} or (pattern and name not in _WAITED_FOR):
        raise _error("States.Runtime", f"The resource {resource} is not supported by Step Functions.")
    perform: Callable[[Members], Members] = getattr(
        integration, _WORD_START.sub("_", name).lower() + ("_sync" if pattern else "")
    )
    try:
        return perform(arguments)
    except UnknownMember as error:
        raise _error("States.Runtime", f"The field {error} is not supported by Step Functions.") from error
    except ApiError as error:
        raise _error(f"ElasticMapReduce.{error.code}", str(error)) from error


class _Integration:
    """The APIs, each with the members of its task state; what ends in `_sync` waits."""

    def __init__(self, client: InProcessClient) -> None:
        self._client = client

    def create_cluster(self, arguments: Members) -> Members:
        """Create a cluster that is kept alive and has no steps yet."""
        _check(arguments, optional=protocol.input_shape("RunJobFlow").members.keys() - {"Steps"})
        if arguments.get("Instances", {}).get("KeepJobFlowAliveWhenNoSteps") is not True:
            raise ApiError("ValidationException", "Instances.KeepJobFlowAliveWhenNoSteps must be true.")
        return {"ClusterId": self._call("RunJobFlow", arguments)["JobFlowId"]}

    def create_cluster_sync(self, arguments: Members) -> Members:
        """Wait until the new cluster takes steps."""
        created = self.create_cluster(arguments)
        return self._cluster_when(created["ClusterId"], str(ClusterState.WAITING))

    def set_cluster_termination_protection(self, arguments: Members) -> Members:
        """Protect a cluster or no more."""
        _check(arguments, "ClusterId", "TerminationProtected")
        parameters = {
            "JobFlowIds": [arguments["ClusterId"]],
            "TerminationProtected": arguments["TerminationProtected"],
        }
        return self._call("SetTerminationProtection", parameters)

    def terminate_cluster(self, arguments: Members) -> Members:
        """Shut a cluster down."""
        _check(arguments, "ClusterId")
        return self._call("TerminateJobFlows", {"JobFlowIds": [arguments["ClusterId"]]})

    def terminate_cluster_sync(self, arguments: Members) -> Members:
        """Wait until the cluster has gone."""
        self.terminate_cluster(arguments)
        return self._cluster_when(arguments["ClusterId"], *TERMINATED)

    def add_step(self, arguments: Members) -> Members:
        """Add one step to a cluster."""
        _check(arguments, "ClusterId", "Step", optional={"ExecutionRoleArn"})
        parameters = {"JobFlowId": arguments["ClusterId"], "Steps": [arguments["Step"]]}
        if "ExecutionRoleArn" in arguments:
            parameters["ExecutionRoleArn"] = arguments["ExecutionRoleArn"]
        (step_id,) = self._call("AddJobFlowSteps", parameters)["StepIds"]
        return {"StepId": step_id}

    def add_step_sync(self, arguments: Members) -> Members:
        """Wait until the step has completed; it is cancelled when nobody waits any more."""
        cluster_id, step_id = arguments["ClusterId"], self.add_step(arguments)["StepId"]
        try:
            step = self._client.when(step_id, partial(self._client.step, cluster_id, step_id), _STEP_ENDS, wait_for)
        except (ExecutionEnded, stepfunctions._ExecutionError):
            with contextlib.suppress(ApiError):  # its cluster has gone
                self._call("CancelSteps", {"ClusterId": cluster_id, "StepIds": [step_id]})
            raise
        if step["Status"]["State"] != StepState.COMPLETED:
            raise _error("States.TaskFailed", json.dumps({"Step": step}))
        return {"StepId": step_id, "Step": step}

    def cancel_step(self, arguments: Members) -> Members:
        """Cancel one step."""
        _check(arguments, "ClusterId", "StepId")
        parameters = {"ClusterId": arguments["ClusterId"], "StepIds": [arguments["StepId"]]}
        (answer,) = self._call("CancelSteps", parameters)["CancelStepsInfoList"]
        return {"CancelStepsInfo": answer}

    def modify_instance_fleet_by_name(self, arguments: Members) -> Members:
        """Resize the fleet of a name."""
        _check(arguments, "ClusterId", "InstanceFleetName", "InstanceFleet")
        change = self._named(arguments, "InstanceFleet")
        return self._call("ModifyInstanceFleet", {"ClusterId": arguments["ClusterId"], "InstanceFleet": change})

    def modify_instance_group_by_name(self, arguments: Members) -> Members:
        """Resize the group of a name."""
        _check(arguments, "ClusterId", "InstanceGroupName", "InstanceGroup")
        change = self._named(arguments, "InstanceGroup")
        return self._call("ModifyInstanceGroups", {"ClusterId": arguments["ClusterId"], "InstanceGroups": [change]})

    def _named(self, arguments: Members, kind: str) -> Members:
        """Return the change of an instance group or fleet with the id that its name stands for."""
        _check(arguments[kind], optional=protocol.members(f"{kind}ModifyConfig") - {f"{kind}Id"})
        listed = self._call(f"List{kind}s", {"ClusterId": arguments["ClusterId"]})[f"{kind}s"]
        name = arguments[f"{kind}Name"]
        ids = [found["Id"] for found in listed if found["Name"] == name]
        if len(ids) != 1:
            raise ApiError("InvalidRequestException", f"The cluster has {len(ids)} times an {kind} named {name}.")
        return {f"{kind}Id": ids[0], **arguments[kind]}

    def _call(self, operation: str, parameters: Members) -> Members:
        translated = to_api(parameters, protocol.input_shape(operation))
        return self._client.call(operation, translated)

    def _cluster_when(self, cluster_id: str, *states: str) -> Members:
        look = partial(self._client.cluster, cluster_id)
        cluster = self._client.when(cluster_id, look, frozenset({*states, *TERMINATED}), wait_for)
        if cluster["Status"]["State"] not in states:
            raise _error("States.TaskFailed", json.dumps({"ClusterId": cluster_id, "Cluster": cluster}))
        return {"ClusterId": cluster_id, "Cluster": cluster}


def _check(given: Members, *required: str, optional: Collection[str] = ()) -> None:
    """Refuse members that an API does not have, and the lack of those that it needs."""
    if unknown := given.keys() - {*required, *optional}:
        raise UnknownMember(", ".join(sorted(unknown)))
    if missing := set(required) - given.keys():
        raise ApiError("ValidationException", f"The field {', '.join(sorted(missing))} is required.")


def _error(error: str, cause: str) -> Exception:
    failure: Exception = stepfunctions._ExecutionError(error, cause)
    return failure
