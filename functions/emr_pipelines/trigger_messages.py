"""What EventBridge Scheduler and EventBridge put on the trigger queue for a pipeline's schedules and events.

`register_pipeline` gives these texts to AWS, `start_pipeline` reads what AWS makes of them, and `emrp backfill` writes
the ticks of the past in the same way.
"""

import hashlib
import json
from typing import Any

_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
EVENT_PLACEHOLDER = "<aws.events.event.json>"
LONGEST_TEMPLATE = 8192  # characters of an InputTemplate


def entry_digest(*parts: object) -> str:
    """Return a short name for what an entry of a pipeline file says, the same wherever in the file it stands."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def schedule_digest(schedule: dict[str, Any]) -> str:
    """Return what tells the schedules of a pipeline apart, and changes when a schedule means something else."""
    return entry_digest(schedule["expression"], schedule["timezone"], schedule["parameters"])


def schedule_message(pipeline: str, index: int, schedule: dict[str, Any], scheduled_time: str) -> dict[str, Any]:
    """Return the message of one tick of an entry below `triggers.schedules`."""
    tick = {
        "scheduledTime": scheduled_time,
        "pipeline": pipeline,
        "index": index,
        "expression": schedule["expression"],
        "digest": schedule_digest(schedule),
    }
    return {"schedule": tick, "parameters": schedule["parameters"]}


def schedule_input(pipeline: str, index: int, schedule: dict[str, Any]) -> str:
    """Return the Input of a schedule's target, into which EventBridge Scheduler writes the time of each tick."""
    text = _literal(schedule_message(pipeline, index, schedule, _SCHEDULED_TIME))
    return text.replace(_literal(_SCHEDULED_TIME), json.dumps(_SCHEDULED_TIME), 1)  # the first one is ours


def event_template(pipeline: str, parameters: dict[str, Any]) -> str:
    """Return the InputTemplate of a rule's target, into which EventBridge writes the whole event."""
    return f'{{"pipeline": {_literal(pipeline)}, "event": {EVENT_PLACEHOLDER}, "parameters": {_literal(parameters)}}}'


def _literal(value: object) -> str:
    """Write JSON in which AWS sees no placeholder, whatever a pipeline file contains."""
    return json.dumps(value).replace("<", "\\u003c")
