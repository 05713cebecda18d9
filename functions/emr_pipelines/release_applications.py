"""The end of a stack: what its runs and pipelines have made outside of it goes with it."""

import time
from collections.abc import Iterator
from typing import Any

from emr_pipelines.clean_up import release_application
from emr_pipelines.errors import ApplicationsLeftError, RequestRefusedError, ResourceMissingError, RunCancelledError
from emr_pipelines.gateways.cloudformation import CloudFormation
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless, ObservedApplication
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.run import execution_arn
from emr_pipelines.stack import STACK_TAG

_SECONDS_BETWEEN_LOOKS = 2.0


def release_applications(
    request: dict[str, Any], stack_name: str, state_machine_arn: str, seconds: float, *,
    cloudformation: CloudFormation, rules: EventRules, emr: EmrServerless, clusters: EmrOnEc2, stacks: ClusterStacks,
    step_functions: StepFunctions,
) -> Exception | None:  # fmt: skip
    """Answer a request of CloudFormation; before a deletion, let nothing be left within so many seconds.

    CloudFormation is answered whatever happens: it would wait for an hour. Creation and updates need nothing.
    Returns what went wrong.
    """
    problem = None
    if request["RequestType"] == "Delete":
        try:
            rules.remove_all()
            _stop_runs(state_machine_arn, step_functions)
            _release_all(stack_name, time.monotonic() + seconds, emr, clusters, stacks)
        except Exception as error:
            problem = error
    cloudformation.answer(request, f"{type(problem).__name__}: {problem}" if problem else None)
    return problem


def _stop_runs(state_machine_arn: str, step_functions: StepFunctions) -> None:
    """Stop all executions: Step Functions deletes a state machine only when its last one has ended."""
    for run_id in step_functions.list_executions(state_machine_arn, "RUNNING"):
        arn = execution_arn(state_machine_arn, run_id)
        step_functions.stop_execution(arn, RunCancelledError.__name__, "The stack is being deleted.")


def _release_all(
    stack_name: str, deadline: float, emr: EmrServerless, clusters: EmrOnEc2, stacks: ClusterStacks
) -> None:
    """Look until nothing is left: a function that was interrupted by nobody may just have made a cluster."""
    while left := [
        *_release_clusters(stack_name, clusters, stacks),
        *(_release(application, emr) for application in _applications(stack_name, emr)),
    ]:
        if time.monotonic() > deadline:
            raise ApplicationsLeftError(left)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _release_clusters(stack_name: str, clusters: EmrOnEc2, stacks: ClusterStacks) -> Iterator[str]:
    """Terminate the clusters of runs, and delete the stacks of those that have one; yield those that were living."""
    for stack in stacks.list_of_runs():
        if stack.tags.get(STACK_TAG) == stack_name:
            stacks.delete(stack.name)
            yield f"{stack.name} ({stack.status})"
    for cluster_id in clusters.list_clusters():
        cluster = clusters.get_cluster(cluster_id)
        if cluster.tags.get(STACK_TAG) == stack_name:
            clusters.terminate_cluster(cluster_id)
            yield f"{cluster_id} ({cluster.state})"


def _release(application: ObservedApplication, emr: EmrServerless) -> str:
    release_application(application.application_id, emr)
    return f"{application.application_id} ({application.state})"


def _applications(stack_name: str, emr: EmrServerless) -> Iterator[ObservedApplication]:
    """Cancel the open job runs of the stack, on whatever application, and yield its applications."""
    for application_id in emr.list_applications():
        try:
            application = emr.get_application(application_id)
            is_ours = application.tags.get(STACK_TAG) == stack_name
            for job_run_id in emr.list_open_job_runs(application_id):
                if is_ours or emr.get_job_run(application_id, job_run_id).tags.get(STACK_TAG) == stack_name:
                    _cancel(application_id, job_run_id, emr)
        except ResourceMissingError:  # deleted by its events meanwhile
            continue
        if is_ours:
            yield application


def _cancel(application_id: str, job_run_id: str, emr: EmrServerless) -> None:
    try:
        emr.cancel_job_run(application_id, job_run_id)
    except RequestRefusedError:
        return  # it has just ended
