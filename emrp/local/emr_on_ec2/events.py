"""What EMR tells EventBridge about clusters and steps, with the fields and severities of its guide."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from emrp.local.emr_on_ec2.records import ERRORS, ClusterState, Record, StepState, now, state_of

Detail = dict[str, Any]
Publish = Callable[[Record, str, Detail], None]
Watch = Callable[[], None]

CLUSTER_EVENT = "EMR Cluster State Change"
STEP_EVENT = "EMR Step Status Change"
_CLUSTER_MESSAGES = {
    ClusterState.STARTING: "Amazon EMR cluster {cluster} was requested at {at} and is being created.",
    ClusterState.RUNNING: "Amazon EMR cluster {cluster} began running steps at {at}.",
    ClusterState.WAITING: "Amazon EMR cluster {cluster} was created at {at} and is ready for use.",
    ClusterState.TERMINATED: "Amazon EMR Cluster {cluster} has terminated at {at} with a reason of {reason}.",
    ClusterState.TERMINATED_WITH_ERRORS: (
        "Amazon EMR Cluster {cluster} has terminated with errors at {at} with a reason of {reason}."
    ),
}
_FINISHED = "Amazon EMR cluster {cluster} finished running all pending steps at {at}."
_STEP_MESSAGES = {
    StepState.PENDING: (
        "INFO",
        "Step {step} was added to Amazon EMR cluster {cluster} at {at} and is pending execution.",
    ),
    StepState.CANCEL_PENDING: (
        "WARN",
        "Step {step} in Amazon EMR cluster {cluster} was cancelled at {at} and is pending cancellation.",
    ),
    StepState.RUNNING: ("INFO", "Step {step} in Amazon EMR cluster {cluster} started running at {at}."),
    StepState.COMPLETED: (
        "INFO",
        (
            "Step {step} in Amazon EMR cluster {cluster} completed execution at {at}. "
            "The step started running at {started} and took {minutes} minutes to complete."
        ),
    ),
    StepState.CANCELLED: (
        "WARN",
        (
            "Cancellation request has succeeded for cluster step {step} in Amazon EMR cluster {cluster} at {at}, "
            "and the step is now cancelled."
        ),
    ),
    StepState.FAILED: ("ERROR", "Step {step} in Amazon EMR cluster {cluster} failed at {at}."),
    # The guide has no event for this state, which its API has.
    StepState.INTERRUPTED: ("WARN", "Step {step} in Amazon EMR cluster {cluster} was interrupted at {at}."),
}


class Events:
    """Says what happened; `publish` carries it to EventBridge in the cluster's account and region."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._watch: Watch | None = None

    def watch(self, watch: Watch) -> None:
        """Have every change told, also those that are no events."""
        self._watch = watch

    def changed(self) -> None:
        """Tell the watcher that something has changed."""
        if self._watch is not None:
            self._watch()

    def cluster_changed(self, cluster: Record) -> None:
        """Tell that a cluster entered its present state; EMR has no events of those in between."""
        self.changed()
        state = ClusterState(state_of(cluster))
        if state not in _CLUSTER_MESSAGES:
            return
        reason = cluster["Status"]["StateChangeReason"]
        code = reason.get("Code", "")
        message = _CLUSTER_MESSAGES[state]
        if state is ClusterState.WAITING and "last step" in reason.get("Message", ""):
            message = _FINISHED
        detail = {
            "severity": "CRITICAL" if code in ERRORS else "INFO",
            "stateChangeReason": json.dumps(
                {"code": code, **({"message": reason["Message"]} if "Message" in reason else {})}, separators=(",", ":")
            ),
            "name": cluster["Name"],
            "clusterId": cluster["Id"],
            "state": str(state),
            "message": message.format(cluster=_named(cluster), at=_at(now()), reason=code),
        }
        self._publish(cluster, CLUSTER_EVENT, detail)

    def step_changed(self, cluster: Record, step: Record) -> None:
        """Tell that a step entered its present state."""
        self.changed()
        state = StepState(state_of(step))
        severity, message = _STEP_MESSAGES[state]
        timeline = step["Status"]["Timeline"]
        ended = timeline.get("EndDateTime", now())
        started = timeline.get("StartDateTime", ended)
        told = message.format(
            step=_named(step),
            cluster=_named(cluster),
            at=_at(now()),
            started=_at(started),
            minutes=round((ended - started) / 60),
        )
        detail = {
            "severity": severity,
            "actionOnFailure": step["ActionOnFailure"],
            "stepId": step["Id"],
            "name": step["Name"],
            "clusterId": cluster["Id"],
            "state": str(state),
            "message": told,
        }
        self._publish(cluster, STEP_EVENT, detail)


def _named(record: Record) -> str:
    return f"{record['Id']} ({record['Name']})"


def _at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
