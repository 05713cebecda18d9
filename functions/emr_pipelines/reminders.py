"""What nothing happens for, so that no event can tell it: a run is late, a burst of notifications is over."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from emr_pipelines.clock import iso_time, now
from emr_pipelines.domain_event import notifications_collected, pipeline_run_overdue
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Run


def remind(runs: Iterable[Run], *, record: RunRecord, held: HeldNotifications, events: DomainEvents) -> None:
    """Publish that runs are late, once each, and that collected notifications can be told."""
    for run in runs:
        if run.expected_minutes and not run.ended and not run.overdue and _is_late(run, run.expected_minutes):
            events.publish(pipeline_run_overdue(run, run.expected_minutes))
            record.mark_overdue(run.run_id)
    for collection in held.list_due():
        events.publish(notifications_collected(collection.pipeline, collection.state, collection.first))


def _is_late(run: Run, expected_minutes: int) -> bool:
    return iso_time(datetime.fromisoformat(run.started_at) + timedelta(minutes=expected_minutes)) < now()
