"""What ministack's services keep, without the parts that change often, and how both are put together again.

The parts: messages of queues, items of tables, events of executions, job runs of applications. Not written between
two orderly stops: log events, metrics, receive counts, uploads of which not all parts are there.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import dynamodb, lambda_svc, sqs, stepfunctions

from emrp.local.durability.replay import GONE, Join, Parts, State

Json = dict[str, Any]

_COUNTED = ("ItemCount", "TableSizeBytes")  # from the items, when they are there again


def services() -> dict[str, Callable[[], State]]:
    """Return what gives the state of each service that ministack has loaded or will load, without the parts."""
    return {key: _own.get(key, _as_saved(module)) for key, module in app._state_map.items()}


def joins(service: str) -> dict[str, Join]:
    """Return how the stores of a service that have parts are put together."""
    return _JOINS.get(service, {})


def _as_saved(module_name: str) -> Callable[[], State]:
    """Return what ministack would save of a service; nothing as long as it is not used."""

    def state() -> State:
        module = sys.modules.get(f"ministack.services.{module_name}")
        get_state = getattr(module, "get_state", None)
        return get_state() or {} if get_state else {}

    return state


def _without(store: AccountRegionScopedDict, *fields: str) -> AccountRegionScopedDict:
    entries = {key: _less(value, *fields) for key, value in list(store._data.items())}
    return AccountRegionScopedDict.from_dict(entries)


def _less(entry: Mapping[str, Any], *fields: str) -> Json:
    return {name: value for name, value in entry.items() if name not in fields}


def _queues() -> State:
    return {
        "queues": _without(sqs._queues, "messages"),
        "queue_name_to_url": sqs._queue_name_to_url,
    }


def _tables() -> State:
    names = (
        *("tags", "ttl_settings", "pitr_settings", "kinesis_destinations", "contributor_insights"),
        *("backups", "resource_policies", "exports", "imports"),
    )
    state = {name: getattr(dynamodb, f"_{name}") for name in names}
    return state | {"tables": _without(dynamodb._tables, "items", dynamodb._INDEX_MEMBERS, *_COUNTED)}


def _state_machines() -> State:
    names = ("state_machines", "tags", "activities", "state_machine_versions", "state_machine_aliases")
    return {name: getattr(stepfunctions, f"_{name}") for name in names}


def _functions() -> State:
    """Return the functions with their code in files, as ministack saves it; older code is kept until then."""
    functions = AccountRegionScopedDict()
    for key, function in list(lambda_svc._functions._data.items()):
        kept = functions._data[key] = _less(function, "versions")
        _keep_code(kept)
        kept["versions"] = {number: dict(version) for number, version in function.get("versions", {}).items()}
        for version in kept["versions"].values():
            _keep_code(version)
    names = ("layers", "esms", "function_urls")
    return {"functions": functions} | {name: getattr(lambda_svc, f"_{name}") for name in names}


_code_files: dict[str, Json] = {}


def _keep_code(function: Json) -> None:
    """Put a function's code into a file, once for each code."""
    digest = function.get("config", {}).get("CodeSha256", "")
    if digest in _code_files and function.get("code_zip"):
        function["code_zip"] = _code_files[digest]
        return
    lambda_svc._externalize_code_zip(function, set())
    if digest and function.get("code_zip"):
        _code_files[digest] = function["code_zip"]


def _log_groups() -> State:
    from ministack.services import cloudwatch_logs  # noqa: PLC0415 -- ministack loads it when it is used

    names = ("destinations", "resource_policies", "log_group_policies", "metric_filters")
    state = {name: getattr(cloudwatch_logs, f"_{name}") for name in names}
    return state | {"log_groups": _without(cloudwatch_logs._log_groups, "streams")}


def _alarms() -> State:
    from ministack.services import cloudwatch  # noqa: PLC0415 -- ministack loads it when it is used

    names = ("alarms", "composite_alarms", "composite_triggers", "dashboards", "resource_tags")
    return {name: getattr(cloudwatch, f"_{name}") for name in names}


def _stacks() -> State:
    """Return the stacks as they are: ministack's copies of them take a tenth of a second."""
    from ministack.services import cloudformation  # noqa: PLC0415 -- ministack loads it when it is used

    return {name: store() for store, name in cloudformation._PERSISTED_STORES}


def _if_loaded(module: str, state: Callable[[], State]) -> Callable[[], State]:
    return lambda: state() if f"ministack.services.{module}" in sys.modules else {}


def _queue(rest: Json, saved: Json | None, parts: Parts) -> Json:
    """Have the messages; those that somebody had received are to be received again."""
    kept = [message for message in (saved or {}).get("messages", []) if message["id"] not in parts]
    messages = kept + [message for message in parts.values() if message is not GONE]
    for message in messages:
        if message["receipt_handle"] is not None:
            message |= {"receipt_handle": None, "visible_at": time.time()}
    return {**rest, "messages": messages}


def _table(rest: Json, saved: Json | None, parts: Parts) -> Json:
    items: dict[str, Json] = defaultdict(dict, (saved or {}).get("items", {}))
    for part, item in parts.items():
        partition, sort = json.loads(part)
        if item is GONE:
            items[partition].pop(sort, None)
        else:
            items[partition][sort] = item
    table = {**rest, "items": defaultdict(dict, {key: sorts for key, sorts in items.items() if sorts})}
    dynamodb._update_counts(table)
    return table


def _execution(rest: Json, saved: Json | None, parts: Parts) -> Json:
    events = {event["id"]: event for event in (saved or {}).get("events", [])}
    events |= {event["id"]: event for event in parts.values()}
    return {**rest, "events": [events[number] for number in sorted(events)]}


def _log_group(rest: Json, saved: Json | None, _parts: Parts) -> Json:
    return {**rest, "streams": (saved or {}).get("streams", {})}


def _application(rest: Json, saved: Json | None, parts: Parts) -> Json:
    return {**rest, "job_runs": (saved or {}).get("job_runs", {}) | parts}


_own = {
    "sqs": _queues,
    "dynamodb": _tables,
    "stepfunctions": _state_machines,
    "lambda": _functions,
    "cloudformation": _if_loaded("cloudformation", _stacks),
    "cloudwatch_logs": _if_loaded("cloudwatch_logs", _log_groups),
    "cloudwatch": _if_loaded("cloudwatch", _alarms),
}
_JOINS: dict[str, dict[str, Join]] = {
    "sqs": {"queues": _queue},
    "dynamodb": {"tables": _table},
    "stepfunctions": {"executions": _execution},
    "cloudwatch_logs": {"log_groups": _log_group},
    "emr_serverless": {"applications": _application},
}
