"""A domain event becomes a notification, for those who asked to hear of such an end."""

from typing import Any

from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notification import run_ended


def notify(detail: dict[str, Any], *, record: RunRecord, topic: NotificationTopic) -> bool:
    """Send the notification for the end of a run; return False when its pipeline does not want one."""
    run = record.get_run(detail["run"])
    if run is None:
        raise LookupError(f"There is no run {detail['run']}.")
    if run.state not in run.notify_on:
        return False
    notification = run_ended(run, record.list_jobs(run.run_id))
    topic.publish(notification.subject, notification.body, notification.attributes)
    return True
