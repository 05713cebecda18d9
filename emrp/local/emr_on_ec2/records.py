"""The records of clusters and steps, as ministack keeps them: dictionaries in the shape of the API."""

import time
from collections.abc import Collection
from enum import StrEnum
from typing import Any

from ministack.core.arn import parse_arn

Record = dict[str, Any]


class ClusterState(StrEnum):
    """The states of a cluster, as the service names them."""

    STARTING = "STARTING"
    BOOTSTRAPPING = "BOOTSTRAPPING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"
    TERMINATED_WITH_ERRORS = "TERMINATED_WITH_ERRORS"


class StepState(StrEnum):
    """The states of a step, as the service names them."""

    PENDING = "PENDING"
    CANCEL_PENDING = "CANCEL_PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


_C, _S = ClusterState, StepState
READY = frozenset({_C.RUNNING, _C.WAITING})
TERMINATED = frozenset({_C.TERMINATED, _C.TERMINATED_WITH_ERRORS})
ENDING = TERMINATED | {_C.TERMINATING}
ERRORS = frozenset({"INTERNAL_ERROR", "BOOTSTRAP_FAILURE", "STEP_FAILURE"})  # codes of reasons
ACTIVE_STEP = frozenset({_S.PENDING, _S.RUNNING, _S.CANCEL_PENDING})
_NEXT: dict[ClusterState, frozenset[ClusterState]] = {
    _C.STARTING: frozenset({_C.BOOTSTRAPPING, _C.TERMINATING}),
    _C.BOOTSTRAPPING: frozenset({_C.RUNNING, _C.WAITING, _C.TERMINATING}),
    _C.RUNNING: frozenset({_C.WAITING, _C.TERMINATING}),
    _C.WAITING: frozenset({_C.RUNNING, _C.TERMINATING}),
    _C.TERMINATING: TERMINATED,
}
_STEP_NEXT: dict[StepState, frozenset[StepState]] = {
    _S.PENDING: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCEL_PENDING, _S.INTERRUPTED}),
    _S.CANCEL_PENDING: frozenset({_S.CANCELLED, _S.INTERRUPTED}),
}
_ENTERED = {  # what the timeline calls the moment at which a state is entered first
    _C.RUNNING: "ReadyDateTime",
    _C.WAITING: "ReadyDateTime",
    _C.TERMINATED: "EndDateTime",
    _C.TERMINATED_WITH_ERRORS: "EndDateTime",
}
_STEP_ENTERED = {
    _S.RUNNING: "StartDateTime",
    _S.COMPLETED: "EndDateTime",
    _S.CANCELLED: "EndDateTime",
    _S.FAILED: "EndDateTime",
    _S.INTERRUPTED: "EndDateTime",
}


def now() -> float:
    """Return the present time as the API has it."""
    return round(time.time(), 3)


def new_status(state: str) -> Record:
    """Return the status of something that comes into being."""
    return {"State": state, "StateChangeReason": {}, "Timeline": {"CreationDateTime": now()}}


def state_of(record: Record) -> str:
    """Return the state of a cluster or a step."""
    state: str = record["Status"]["State"]
    return state


def scope_of(cluster: Record) -> tuple[str, str]:
    """Return the account and the region of a cluster."""
    arn = parse_arn(cluster["ClusterArn"])
    return arn.account_id, arn.region


def move_cluster(cluster: Record, state: ClusterState, code: str = "", message: str = "") -> None:
    """Have a cluster enter a state that may follow its present one."""
    following = _NEXT.get(ClusterState(state_of(cluster)), frozenset())
    _move(cluster, state, following, _ENTERED.get(state), {"Code": code, "Message": message})
    for part in [*cluster["InstanceGroups"], *cluster["InstanceFleets"]]:
        part["Status"] = part["Status"] | {"State": _state_of_part(state)}


def move_step(step: Record, state: StepState, message: str = "", failure: Record | None = None) -> None:
    """Have a step enter a state that may follow its present one."""
    following = _STEP_NEXT.get(StepState(state_of(step)), frozenset())
    _move(step, state, following, _STEP_ENTERED.get(state), {"Message": message})
    if failure:
        step["Status"] = step["Status"] | {"FailureDetails": failure}


def _move(record: Record, state: str, following: Collection[str], moment: str | None, reason: Record) -> None:
    """Give a record another status as a whole: it may be read by other threads at the same time."""
    status = record["Status"]
    if state not in following:
        raise ValueError(f"{record['Id']} cannot go from {status['State']} to {state}.")
    timeline = dict(status["Timeline"])
    if moment:
        timeline.setdefault(moment, now())
    reason = {name: text for name, text in reason.items() if text}
    record["Status"] = {**status, "State": str(state), "StateChangeReason": reason, "Timeline": timeline}


def _state_of_part(state: ClusterState) -> str:
    """Return the state of an instance group or fleet of a cluster in a state."""
    if state is _C.BOOTSTRAPPING:
        return "BOOTSTRAPPING"
    if state in READY:
        return "RUNNING"
    return "TERMINATING" if state is _C.TERMINATING else "TERMINATED"
