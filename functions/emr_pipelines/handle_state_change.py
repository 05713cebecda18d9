"""An event of EMR moves the run on that waits for it; an event of somebody else's job run is ignored."""

from dataclasses import replace
from typing import Any

from emr_pipelines.clean_up import release_application
from emr_pipelines.clock import iso_time
from emr_pipelines.domain_event import job_run_retried
from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.follow_job import follow_job
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2, job_state
from emr_pipelines.gateways.emr_serverless import ObservedApplication
from emr_pipelines.gateways.job_gateways import EmrGateways, JobGateways
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.job_state import is_final
from emr_pipelines.launch_application import advance_application
from emr_pipelines.launch_cluster import advance_cluster, advance_stack
from emr_pipelines.run import Job

APPLICATION_STATE_CHANGE = "EMR Serverless Application State Change"
JOB_RUN_STATE_CHANGE = "EMR Serverless Job Run State Change"
JOB_RUN_RETRY = "EMR Serverless Job Run Retry"
JOB_UTILIZATION_UPDATE = "EMR Serverless Job Resource Utilization Update"
CLUSTER_STATE_CHANGE = "EMR Cluster State Change"
STEP_STATUS_CHANGE = "EMR Step Status Change"
STACK_STATUS_CHANGE = "CloudFormation Stack Status Change"

_ID_OF_JOB_RUN = {
    JOB_RUN_STATE_CHANGE: "jobRunId",
    JOB_RUN_RETRY: "jobRunId",
    JOB_UTILIZATION_UPDATE: "jobRunId",
    STEP_STATUS_CHANGE: "stepId",
}
_MOST_LOGGED = 20  # of thousands of runs that may wait for one application


def handle_state_change(event: dict[str, Any], gateways: JobGateways, *, stacks: ClusterStacks) -> dict[str, Any]:
    """Act on one event of EMR, or of the stack of a cluster; return whom it concerned, for the log.

    That is nobody when it is about nothing of ours or of an unknown type.
    """
    detail, kind = event["detail"], event["detail-type"]
    if kind == APPLICATION_STATE_CHANGE:
        return _application_changed(detail["applicationId"], gateways)
    if kind == CLUSTER_STATE_CHANGE:
        return _cluster_changed(detail["clusterId"], gateways)
    if kind == STACK_STATUS_CHANGE:
        return _stack_changed(detail["stack-id"].split("/")[1], gateways, stacks)
    if kind not in _ID_OF_JOB_RUN:
        return {}
    job = gateways.record.find_job(detail[_ID_OF_JOB_RUN[kind]])
    if job is None:
        return {}
    if kind == JOB_RUN_RETRY:
        attempt = detail["previousAttempt"]
        failed = gateways.emr.get_job_run(detail["applicationId"], detail["jobRunId"], attempt)
        gateways.events.publish(job_run_retried(job, attempt, failed.state_details))
    elif kind == JOB_UTILIZATION_UPDATE:
        # Sent every half hour while a job runs: a sign of life that keeps the heartbeat of a long job.
        if job.task_token and not job.ended:
            gateways.step_functions.send_heartbeat(job.task_token)
    elif kind == STEP_STATUS_CHANGE:
        follow_job(job, _observed_step(detail, event["time"], gateways.clusters), gateways)
    else:
        _job_run_changed(job, detail, gateways)
    return {"run": job.run_id, "job": job.name}


def _observed_step(detail: dict[str, Any], time: str, clusters: EmrOnEc2) -> ObservedJobRun:
    """Return what EMR says of a step, since the event lacks the reason; an end that EMR does not show yet counts."""
    observed = clusters.get_job_run(detail["clusterId"], detail["stepId"])
    state = job_state(detail["state"])
    if is_final(state) and not is_final(observed.state):
        return replace(observed, state=state, observed_at=iso_time(time), ended_at=iso_time(time))
    return observed


def _job_run_changed(job: Job, detail: dict[str, Any], gateways: JobGateways) -> None:
    if is_final(detail["state"]):
        observed = gateways.emr.get_job_run(detail["applicationId"], detail["jobRunId"])  # the event lacks the reason
    else:
        observed = _observed(detail)
    job = follow_job(job, observed, gateways)
    if job.ended and gateways.record.is_released(detail["applicationId"]):
        release_application(detail["applicationId"], gateways.emr)


def _advance(application: ObservedApplication, waiting: list[tuple[str, str]], gateways: EmrGateways) -> None:
    """Take the next step for the runs that wait for an application, up to the first that changes it."""
    for run_id, task_token in waiting:
        try:
            if advance_application(run_id, application, task_token, gateways):
                return
        except RequestRefusedError as error:
            gateways.step_functions.send_failure(task_token, type(error), str(error))


def _observed(detail: dict[str, Any]) -> ObservedJobRun:
    return ObservedJobRun(
        job_run_id=detail["jobRunId"],
        application_id=detail["applicationId"],
        state=detail["state"],
        observed_at=iso_time(detail["updatedAt"]),
    )


def _application_changed(application_id: str, gateways: EmrGateways) -> dict[str, Any]:
    waiting = gateways.record.list_waiting(application_id)
    if waiting:
        # Once for all of them: thousands of runs may wait, and EMR lets an account ask ten times a second.
        _advance(gateways.emr.get_application(application_id), waiting, gateways)
    if gateways.record.is_released(application_id):
        release_application(application_id, gateways.emr)
    return _concerned(waiting)


def _cluster_changed(cluster_id: str, gateways: EmrGateways) -> dict[str, Any]:
    waiting = gateways.record.list_waiting(cluster_id)
    if waiting:
        cluster = gateways.clusters.get_cluster(cluster_id)
        for run_id, task_token in waiting:
            advance_cluster(run_id, cluster, task_token, gateways)
    return _concerned(waiting)


def _stack_changed(name: str, gateways: EmrGateways, stacks: ClusterStacks) -> dict[str, Any]:
    waiting = gateways.record.list_waiting(name)
    for run_id, task_token in waiting:  # one, since the stack is the run's own
        advance_stack(run_id, name, task_token, gateways, stacks)
    return _concerned(waiting)


def _concerned(waiting: list[tuple[str, str]]) -> dict[str, Any]:
    return {"runs": [run_id for run_id, _ in waiting[:_MOST_LOGGED]]} if waiting else {}
