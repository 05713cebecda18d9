"""A Step Functions history becomes steps: which states were entered, for how long, and with what result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

_ENDINGS = ("Failed", "TimedOut", "Aborted")
# Errors by which a state machine goes another way, though nothing has gone wrong.
_DETOURS = {
    "JobSkippedError": "is skipped",
    "RunQueuedError": "has to wait",
    "RunSkippedError": "is skipped",
    "States.HeartbeatTimeout": "no sign of life",
    "UpstreamPendingError": "has to wait",
}


@dataclass(frozen=True)
class Step:
    """A state of a state machine, as an execution has gone through it."""

    name: str
    started_at: datetime
    ended_at: datetime | None = None
    failed: bool = False
    detail: str = ""

    def seconds(self, now: datetime) -> float:
        """Return how long the step took, or has been taking until `now`."""
        return max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())


def read_steps(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Return the states of an execution in the order in which they were entered.

    The states inside a Map are left out: a run's jobs are known by name from the run record. (A Map inside a Map
    would confuse this; a run has none.) A state that only waited on, after a heartbeat that had passed, is one step.
    """
    steps: list[Step] = []
    inside_map = False
    for event in events:
        kind: str = event["type"]
        if inside_map and not kind.startswith(("MapState", "Execution")):
            continue
        inside_map = kind in {"MapStateEntered", "MapStateStarted"}
        if kind.endswith("StateEntered"):
            name = event["stateEnteredEventDetails"]["name"]
            if steps and steps[-1].name == name:
                steps[-1] = replace(steps[-1], ended_at=None, detail="")
            else:
                steps.append(Step(name, event["timestamp"], failed=kind.startswith("Fail")))
        elif steps:
            steps[-1] = _after(steps[-1], kind, event)
    return steps


def _after(step: Step, kind: str, event: Mapping[str, Any]) -> Step:
    """Return the state `step` as it is after an event that happened in it."""
    if kind.endswith("StateExited"):
        return replace(step, ended_at=event["timestamp"])
    if kind.startswith("Execution"):
        if step.ended_at:
            return step
        return replace(step, ended_at=event["timestamp"], failed=kind.endswith(_ENDINGS))
    if kind.endswith(_ENDINGS):
        details: Mapping[str, Any] = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
        error = details.get("error", "")
        return replace(step, failed=error not in _DETOURS, detail=_DETOURS.get(error, error))
    if kind.endswith(("Scheduled", "Succeeded")):
        return replace(step, failed=False, detail="")  # a retry begins or has succeeded
    return step
