"""What EMR tells EventBridge about clusters and steps, with the fields and severities of its guide."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from emrp.local.emr_on_ec2.records import ERRORS, ClusterState, Record, StepState, state_of

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
_STEP_MESSAGES = {
    StepState.PENDING: (
        "INFO",
        "Step {step} was added to Amazon EMR cluster {cluster} at {at} and is pending execution.",
    ),
    StepState.CANCEL_PENDING: (
        "WARN",
        "Step {step} in Amazon EMR cluster {cluster} was cancelled at {at} and is ending.",
    ),
    StepState.RUNNING: ("INFO", "Step {step} in Amazon EMR cluster {cluster} started running at {at}."),
    StepState.COMPLETED: ("INFO", "Step {step} in Amazon EMR cluster {cluster} completed execution at {at}."),
    StepState.CANCELLED: (
        "WARN",
        "Cancellation request has succeeded for step {step} in Amazon EMR cluster {cluster} at {at}.",
    ),
    StepState.FAILED: ("ERROR", "Step {step} in Amazon EMR cluster {cluster} failed at {at}."),
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
        detail = {
            "severity": "CRITICAL" if code in ERRORS else "INFO",
            "stateChangeReason": json.dumps(
                {"code": code, **({"message": reason["Message"]} if "Message" in reason else {})}, separators=(",", ":")
            ),
            "name": cluster["Name"],
            "clusterId": cluster["Id"],
            "state": str(state),
            "message": _CLUSTER_MESSAGES[state].format(cluster=_named(cluster), at=_at(), reason=code),
        }
        self._publish(cluster, CLUSTER_EVENT, detail)

    def step_changed(self, cluster: Record, step: Record) -> None:
        """Tell that a step entered its present state."""
        self.changed()
        state = StepState(state_of(step))
        severity, message = _STEP_MESSAGES[state]
        detail = {
            "severity": severity,
            "actionOnFailure": step["ActionOnFailure"],
            "stepId": step["Id"],
            "name": step["Name"],
            "clusterId": cluster["Id"],
            "state": str(state),
            "message": message.format(step=_named(step), cluster=_named(cluster), at=_at()),
        }
        self._publish(cluster, STEP_EVENT, detail)


def _named(record: Record) -> str:
    return f"{record['Id']} ({record['Name']})"


def _at() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
