"""A domain event becomes a notification, for those who asked to hear of it; a burst of them becomes a summary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from emr_pipelines.domain_event import (
    JOB_RUN_RETRIED,
    NOTIFICATIONS_COLLECTED,
    PIPELINE_FILE_REJECTED,
    PIPELINE_RUN_OVERDUE,
    PIPELINE_RUN_STARTED,
    SWEEP_COMPLETED,
    TRIGGER_REJECTED,
)
from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.log_tails import LogTails
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.job_state import JobState
from emr_pipelines.notification import (
    Notification,
    collected,
    failed_jobs,
    file_rejected,
    job_retried,
    run_ended,
    run_overdue,
    run_started,
    sweep_completed,
    trigger_rejected,
)
from emr_pipelines.run import OVERDUE, RETRIED, STARTED, Run


@dataclass(frozen=True)
class Burst:
    """So many notifications of one state about one pipeline are sent at once; so long the others are collected."""

    size: int
    window: timedelta


# Sends a notification under an id, once, to a topic of the pipeline file, or to that of the stack when it is None.
Publish = Callable[[str, Notification, str | None], None]


def notify(
    detail_type: str, detail: Mapping[str, Any], *,
    record: RunRecord, held: HeldNotifications, logs: LogTails, publish: Publish, burst: Burst,
) -> str:  # fmt: skip
    """Send the notification for an event; return "sent", "held" during a burst, or "unwanted".

    It goes to all topics before a refusal of one of them is raised.
    """
    if detail_type == NOTIFICATIONS_COLLECTED:
        return _send_collected(detail, held, publish)
    notification = _notification(detail_type, detail, record, logs)
    if notification is None:
        return "unwanted"
    of_kind = notification.pipeline, notification.state
    if notification.comes_in_bursts:
        due_at = held.admit(*of_kind, detail["id"], burst.size, burst.window)
        if due_at:
            left = {"line": notification.line, "jobs": notification.jobs, "topics": notification.topics}
            held.hold(*of_kind, detail["id"], due_at, left)
            return "held"
    _send(detail["id"], notification, publish)
    return "sent"


def _send_collected(detail: Mapping[str, Any], held: HeldNotifications, publish: Publish) -> str:
    items = held.list_held(detail["pipeline"], detail["state"])
    if not items:
        return "unwanted"
    # With their number: if this is repeated and there are more by then, they must be told.
    _send(f"{detail['id']}/{len(items)}", collected(detail["pipeline"], detail["state"], items), publish)
    held.forget(items)
    return "sent"


def _send(event_id: str, notification: Notification, publish: Publish) -> None:
    refused = None
    for topic in (None, *notification.topics):
        try:
            publish(f"{event_id}/{topic}", notification, topic)
        except RequestRefusedError as error:
            refused = error
    if refused:
        raise refused


def _notification(
    detail_type: str, detail: Mapping[str, Any], record: RunRecord, logs: LogTails
) -> Notification | None:
    if detail_type == PIPELINE_FILE_REJECTED:
        return file_rejected(detail)
    if detail_type == TRIGGER_REJECTED:
        return trigger_rejected(detail)
    if detail_type == SWEEP_COMPLETED:
        return sweep_completed(detail)
    run = record.get_run(detail["run"])
    if run is None:
        raise LookupError(f"There is no run {detail['run']}.")
    return _of_run(detail_type, detail, run, record, logs)


def _of_run(
    detail_type: str, detail: Mapping[str, Any], run: Run, record: RunRecord, logs: LogTails
) -> Notification | None:
    occasions = {PIPELINE_RUN_STARTED: STARTED, PIPELINE_RUN_OVERDUE: OVERDUE, JOB_RUN_RETRIED: RETRIED}
    occasion = occasions.get(detail_type, run.state)
    if occasion not in run.notify_on or (occasion == OVERDUE and run.ended):
        return None
    stack = detail["stack"]
    if occasion == RETRIED:
        job = replace(record.get_job(run.run_id, detail["job"]), attempts=detail["attempt"])
        log = logs.read({job.name: job.log_location})[job.name]
        return job_retried(run, job, detail, stack, log)
    jobs = record.list_jobs(run.run_id)
    if occasion == STARTED:
        return run_started(run, jobs, stack)
    if occasion == OVERDUE:
        return run_overdue(run, jobs, stack)
    explained = [job for job in failed_jobs(run, jobs) if job.state == JobState.FAILED]
    return run_ended(run, jobs, stack, logs.read({job.name: job.log_location for job in explained}))
