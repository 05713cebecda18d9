"""docs/failure-catalogue.md, made of the error classes and the state machines: python -m emrp.failure_catalogue.

What is retried and where an error leads is read from the state machines; what nobody could read there, whether an
error is a run's, a job's or a message's and what to do about it, is said here for each class.
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from emr_pipelines import errors
from emr_pipelines.errors import EmrPipelinesError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "failure-catalogue.md"
_MACHINES = {"pipeline": "outer", "job_group": "group", "job_run": "inner"}

_RUN, _JOB = "run FAILED, after Clean Up", "job FAILED"
_REPAIR = "mend the cause, then `emrp repair RUN`"
_NOTHING = "nothing: it belongs to a healthy run"


class _Advice(NamedTuple):
    ends: str
    action: str


# By class; `TransientError` and its like end so only when their retries are used up.
ADVICE = {
    "TransientError": _Advice(f"{_RUN}, or {_JOB}", "look at quotas and at AWS's health page, then `emrp repair RUN`"),
    "RequestRefusedError": _Advice(f"{_RUN}, or {_JOB}", f"read AWS's reason in the notification; {_REPAIR}"),
    "ResourceMissingError": _Advice(f"{_RUN}, or {_JOB}", f"somebody has deleted what a run needs; {_REPAIR}"),
    "ApplicationUnavailableError": _Advice(
        _RUN, f"correct `application` in the pipeline file, or its quota; {_REPAIR}"
    ),
    "ClusterUnavailableError": _Advice(
        _RUN, f"the reason names what was refused or has failed: correct `cluster` or its template; {_REPAIR}"
    ),
    "ApplicationsLeftError": _Advice("deletion of the stack fails", "delete the stack once more"),
    "JobFailedError": _Advice(f"{_JOB}; run FAILED", f"`emrp logs RUN` shows the driver's output; {_REPAIR}"),
    "JobCancelledError": _Advice(
        "job CANCELLED; run FAILED, or CANCELLED if it was stopped", "`emrp repair RUN`, if it was not meant"
    ),
    "JobSkippedError": _Advice("job SKIPPED; it fails no run", "look at the upstream jobs that `emrp show RUN` names"),
    "UpstreamPendingError": _Advice("job waits", _NOTHING),
    "JobNotSubmittedError": _Advice("job is submitted", _NOTHING),
    "RunQueuedError": _Advice("run waits for a slot", _NOTHING),
    "RunSkippedError": _Advice("run SKIPPED", "nothing: the pipeline's `concurrency.policy` asks for it"),
    "RunCancelledError": _Advice("run CANCELLED", "`emrp repair RUN`, if it was not meant"),
    "RunTimedOutError": _Advice("run TIMED_OUT", "raise `timeoutMinutes`, or find what hangs; then `emrp repair RUN`"),
    "RunLostError": _Advice("run FAILED, by the sweep", "`emrp repair RUN`"),
    "PipelineNotFoundError": _Advice(_RUN, "upload the pipeline file, or correct the name, and start the run again"),
    "RepairRefusedError": _Advice(_RUN, "do what the message says: repair the latest run, or start a new one"),
    "InvalidRunInputError": _Advice(_RUN, "start the run again with corrected input"),
    "OutputUnavailableError": _Advice(_JOB, f"let the upstream job write its output; {_REPAIR}"),
    "InvalidTriggerError": _Advice(
        "message in the queue of rejected triggers",
        "`emrp dlq list` says why; repair the sender, then `emrp dlq redrive`",
    ),
    "InvalidPipelineError": _Advice(
        "file rejected, the version before stays live; or run FAILED",
        "correct the lines in the e-mail and upload the file again",
    ),
}


class _Rule(NamedTuple):
    """One entry of a Retry or Catch."""

    machine: str
    state: str
    rule: dict[str, Any]


def catalogue() -> str:
    """Return the page."""
    return "\n".join(
        [
            "# Failure catalogue",
            "",
            "Made by `python -m emrp.failure_catalogue` of the error classes and the state machines; a test compares.",
            "",
            "## Errors of EMR Pipelines",
            "",
            "What is not caught by its name is caught by States.ALL: it leads to Clean Up in the outer state machine",
            "and to Job Failed in the inner one, and is not retried.",
            "",
            *_table(("error", "meaning", "retried", "ends as", "what the operator does"), _of_ours()),
            "",
            "## Errors of AWS that the state machines know",
            "",
            *_table(("error", "retried", "caught, leading to"), _of_aws()),
            "",
            "## States",
            "",
            "An error that a state neither retries nor catches ends its execution; the rule on execution status",
            "changes then calls `clean_up`, and the sweep finds what even that misses.",
            "",
            *_table(("machine", "state", "at most (s)", "heartbeat", "retries", "catches"), _of_states()),
            "",
        ]
    )


def classes() -> list[type[EmrPipelinesError]]:
    """Return the error classes that are raised, in the order of their file."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EmrPipelinesError)]
    found.remove(EmrPipelinesError)
    return sorted(found, key=lambda kind: inspect.getsourcelines(kind)[1])


def _of_ours() -> Iterator[tuple[str, ...]]:
    for kind in classes():
        advice = ADVICE[kind.__name__]
        meaning = (inspect.getdoc(kind) or "").splitlines()[0]
        yield f"`{kind.__name__}`", meaning, _retried(kind.__name__), advice.ends, advice.action


def _of_aws() -> Iterator[tuple[str, ...]]:
    names = {name for kind in ("Retry", "Catch") for found in _rules(kind) for name in found.rule["ErrorEquals"]}
    for name in sorted(names - ADVICE.keys()):
        caught = {
            f"{found.rule['Next']} ({found.machine})" for found in _rules("Catch") if name in found.rule["ErrorEquals"]
        }
        yield f"`{name}`", _retried(name), ", ".join(sorted(caught)) or "as States.ALL"


def _of_states() -> Iterator[tuple[str, ...]]:
    for machine, name, state in _states():
        if state["Type"] not in {"Task", "Map"}:
            continue
        retries = [
            f"{rule['ErrorEquals'][0]}{'…' if len(rule['ErrorEquals']) > 1 else ''} {rule['MaxAttempts']} times"
            for rule in state.get("Retry", [])
        ]
        catches = [f"{', '.join(rule['ErrorEquals'])} → {rule['Next']}" for rule in state.get("Catch", [])]
        timeout = state.get("TimeoutSeconds", "")
        limit = str(timeout) if isinstance(timeout, int) else "until the run is to end" if timeout else ""
        heartbeat = ", ".join(re.findall(r"\$\{(\w+)\}", state.get("HeartbeatSeconds", "")))
        yield machine, name, limit, f"`{heartbeat}`" if heartbeat else "", "; ".join(retries), "; ".join(catches)


def _retried(name: str) -> str:
    """Say how often an error is retried, and how long that takes at most, from the most to the least patient state."""
    rules = [found.rule for found in _rules("Retry") if name in found.rule["ErrorEquals"]]
    sayings = {(rule["MaxAttempts"], _longest_wait(rule)) for rule in rules}
    return (
        ", ".join(f"{attempts} times within {_duration(wait)}" for attempts, wait in sorted(sayings, reverse=True))
        or "no"
    )


def _longest_wait(rule: dict[str, Any]) -> float:
    waits = (rule["IntervalSeconds"] * rule["BackoffRate"] ** attempt for attempt in range(rule["MaxAttempts"]))
    return float(sum(min(wait, rule.get("MaxDelaySeconds", wait)) for wait in waits))


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:g} s"


def _rules(kind: str) -> Iterator[_Rule]:
    for machine, name, state in _states():
        for rule in state.get(kind, []):
            yield _Rule(machine, name, rule)


def _states() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file, machine in _MACHINES.items():
        definition = json.loads((ROOT / "statemachine" / f"{file}.asl.json").read_text(encoding="utf-8"))
        yield from ((machine, name, state) for name, state in _within(definition))


def _within(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from _within(state["ItemProcessor"])


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    PAGE.write_text(catalogue(), encoding="utf-8")
