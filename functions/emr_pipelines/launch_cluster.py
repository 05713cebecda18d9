"""Brings the cluster of a run to where it takes steps, and answers the run that waits: by itself or by a template."""

import re

from emr_pipelines.errors import ClusterUnavailableError, RequestRefusedError
from emr_pipelines.gateways.cluster_stacks import ClusterStacks, ObservedStack
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2, ObservedCluster
from emr_pipelines.gateways.job_gateways import EmrGateways
from emr_pipelines.release_cluster import release_cluster
from emr_pipelines.run import Run

_CLUSTER_ID = re.compile(r"j-[A-Z0-9]+")


def launch_cluster(run: Run, task_token: str, gateways: EmrGateways, stacks: ClusterStacks) -> None:
    """Make sure that the run has a cluster; the token is answered once it takes steps, or never will.

    Raises ClusterUnavailableError when EMR or CloudFormation refuse to make one. Idempotent: what an earlier call has
    made is looked for first.
    """
    name = run.cluster.get("StackName")
    try:
        if name:
            stacks.create(run.cluster)
        else:
            cluster_id = _ensure_cluster(run, gateways.clusters)
            gateways.record.set_application_id(run.run_id, cluster_id)
    except RequestRefusedError as error:
        raise ClusterUnavailableError(str(error)) from error
    gateways.record.wait_for_application(name or cluster_id, run.run_id, task_token)
    # Looking after the token is in place: an event that came before it has changed what is seen now. And a run that
    # has ended in between did not know of its cluster when it was cleaned up.
    latest = gateways.record.get_run(run.run_id)
    if latest and latest.ended and latest.lifecycle == "transient":
        release_cluster(latest, gateways.clusters, stacks)
    elif name:
        advance_stack(run.run_id, name, task_token, gateways, stacks)
    else:
        advance_cluster(run.run_id, gateways.clusters.get_cluster(cluster_id), task_token, gateways)


def advance_cluster(run_id: str, cluster: ObservedCluster, task_token: str, gateways: EmrGateways) -> None:
    """Answer a run that waits for a cluster, unless this is still on its way."""
    if cluster.is_ready:
        gateways.record.set_application_id(run_id, cluster.cluster_id, cluster.log_uri)
        gateways.step_functions.send_success(task_token, {"clusterId": cluster.cluster_id})
    elif cluster.is_gone:
        cause = f"Cluster {cluster.cluster_id} is {cluster.state}. {cluster.details}"
        gateways.step_functions.send_failure(task_token, ClusterUnavailableError, cause.strip())
    else:
        return
    gateways.record.stop_waiting(cluster.cluster_id, run_id)


def advance_stack(run_id: str, name: str, task_token: str, gateways: EmrGateways, stacks: ClusterStacks) -> None:
    """Go on from the stack of a run to the cluster in it, unless the stack is still being made."""
    stack = stacks.get(name)
    if stack and stack.status == "CREATE_IN_PROGRESS":
        return
    cluster_id = _cluster_of(stack) if stack else None
    if cluster_id:
        gateways.record.set_application_id(run_id, cluster_id)
        gateways.record.wait_for_application(cluster_id, run_id, task_token)
        advance_cluster(run_id, gateways.clusters.get_cluster(cluster_id), task_token, gateways)
    else:
        cause = _why_no_cluster(stack, stacks) if stack else f"Stack {name} was deleted while the run waited for it."
        gateways.step_functions.send_failure(task_token, ClusterUnavailableError, cause)
    gateways.record.stop_waiting(name, run_id)


def _ensure_cluster(run: Run, clusters: EmrOnEc2) -> str:
    """Return the id of the run's cluster, which is started unless it exists."""
    known = run.application_id or clusters.find_cluster(run.cluster, run.started_at)
    return known or clusters.run_job_flow(run.cluster)


def _cluster_of(stack: ObservedStack) -> str | None:
    if stack.status != "CREATE_COMPLETE":
        return None
    return next((value for value in stack.outputs.values() if _CLUSTER_ID.fullmatch(value)), None)


def _why_no_cluster(stack: ObservedStack, stacks: ClusterStacks) -> str:
    if stack.status == "CREATE_COMPLETE":
        return f"Stack {stack.name} has no output with the id of a cluster, as in Value: !Ref Cluster."
    why = stacks.first_failure(stack.name) or stack.details
    return f"Stack {stack.name} is {stack.status}. {why}".strip()
