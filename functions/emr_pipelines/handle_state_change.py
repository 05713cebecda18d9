"""An event of EMR moves the run on that waits for it; an event of somebody else's job run is ignored."""

from typing import Any

from emr_pipelines.clean_up import release_application
from emr_pipelines.clock import iso_time
from emr_pipelines.domain_event import job_run_retried
from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.follow_job import follow_job
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_serverless import EmrServerless, ObservedApplication, ObservedJobRun
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.job_state import is_final
from emr_pipelines.launch_application import advance_application

APPLICATION_STATE_CHANGE = "EMR Serverless Application State Change"
JOB_RUN_STATE_CHANGE = "EMR Serverless Job Run State Change"
JOB_RUN_RETRY = "EMR Serverless Job Run Retry"
JOB_UTILIZATION_UPDATE = "EMR Serverless Job Resource Utilization Update"

_MOST_LOGGED = 20  # of thousands of runs that may wait for one application


def handle_state_change(
    event: dict[str, Any], *,
    record: RunRecord, emr: EmrServerless, step_functions: StepFunctions, events: DomainEvents,
) -> dict[str, Any]:  # fmt: skip
    """Act on one EMR event; return whom it concerned, for the log.

    That is nobody when it is about nothing of ours or of an unknown type.
    """
    detail = event["detail"]
    if event["detail-type"] == APPLICATION_STATE_CHANGE:
        return _application_changed(detail["applicationId"], record, emr, step_functions)
    if event["detail-type"] not in {JOB_RUN_STATE_CHANGE, JOB_RUN_RETRY, JOB_UTILIZATION_UPDATE}:
        return {}
    job = record.find_job(detail["jobRunId"])
    if job is None:
        return {}
    concerned = {"run": job.run_id, "job": job.name}
    if event["detail-type"] == JOB_RUN_RETRY:
        attempt = detail["previousAttempt"]
        failed = emr.get_job_run(detail["applicationId"], detail["jobRunId"], attempt)
        events.publish(job_run_retried(job, attempt, failed.state_details))
        return concerned
    if event["detail-type"] == JOB_UTILIZATION_UPDATE:
        # Sent every half hour while a job runs: a sign of life that keeps the heartbeat of a long job.
        if job.task_token and not job.ended:
            step_functions.send_heartbeat(job.task_token)
        return concerned
    if is_final(detail["state"]):
        observed = emr.get_job_run(detail["applicationId"], detail["jobRunId"])  # the event lacks the reason
    else:
        observed = _observed(detail)
    job = follow_job(job, observed, record=record, emr=emr, step_functions=step_functions, events=events)
    if job.ended and record.is_released(detail["applicationId"]):
        release_application(detail["applicationId"], emr=emr)
    return concerned


def _advance(
    application: ObservedApplication, waiting: list[tuple[str, str]],
    record: RunRecord, emr: EmrServerless, step_functions: StepFunctions,
) -> None:  # fmt: skip
    """Take the next step for the runs that wait for an application, up to the first that changes it."""
    for run_id, task_token in waiting:
        try:
            if advance_application(
                run_id, application, task_token, record=record, emr=emr, step_functions=step_functions
            ):
                return
        except RequestRefusedError as error:
            step_functions.send_failure(task_token, type(error), str(error))


def _observed(detail: dict[str, Any]) -> ObservedJobRun:
    return ObservedJobRun(
        job_run_id=detail["jobRunId"],
        application_id=detail["applicationId"],
        state=detail["state"],
        observed_at=iso_time(detail["updatedAt"]),
    )


def _application_changed(
    application_id: str, record: RunRecord, emr: EmrServerless, step_functions: StepFunctions
) -> dict[str, Any]:
    waiting = record.list_waiting(application_id)
    if waiting:
        # Once for all of them: thousands of runs may wait, and EMR lets an account ask ten times a second.
        _advance(emr.get_application(application_id), waiting, record, emr, step_functions)
    if record.is_released(application_id):
        release_application(application_id, emr=emr)
    return {"runs": [run_id for run_id, _ in waiting[:_MOST_LOGGED]]} if waiting else {}
