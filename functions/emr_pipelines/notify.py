"""A domain event becomes a notification, for those who asked to hear of it."""

from typing import Any

from emr_pipelines.domain_event import PIPELINE_FILE_REJECTED, SWEEP_COMPLETED, TRIGGER_REJECTED
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notification import Notification, file_rejected, run_ended, sweep_completed, trigger_rejected


def notify(detail_type: str, detail: dict[str, Any], *, record: RunRecord, topic: NotificationTopic) -> bool:
    """Send the notification for an event; return False when the pipeline of a run does not want one."""
    notification = _notification(detail_type, detail, record)
    if notification is None:
        return False
    topic.publish(notification.subject, notification.body, notification.attributes)
    return True


def _notification(detail_type: str, detail: dict[str, Any], record: RunRecord) -> Notification | None:
    if detail_type == PIPELINE_FILE_REJECTED:
        return file_rejected(detail)
    if detail_type == TRIGGER_REJECTED:
        return trigger_rejected(detail)
    if detail_type == SWEEP_COMPLETED:
        return sweep_completed(detail)
    return _run_ended(detail, record)


def _run_ended(detail: dict[str, Any], record: RunRecord) -> Notification | None:
    run = record.get_run(detail["run"])
    if run is None:
        raise LookupError(f"There is no run {detail['run']}.")
    return run_ended(run, record.list_jobs(run.run_id)) if run.state in run.notify_on else None
