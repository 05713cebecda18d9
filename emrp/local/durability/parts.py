"""Notes each change of what changes often: messages, items, executions with their events, job runs."""

import json
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import dynamodb, sqs, stepfunctions

from emrp.local import emr_on_ec2, emr_serverless
from emrp.local.durability.journal import Change
from emrp.local.durability.recorder import Recorder
from emrp.local.emr_serverless.application import Application
from emrp.local.emr_serverless.job_run import JobRun
from emrp.local.emr_serverless.lifecycle import application_state, job_run_state
from emrp.local.patches.anchors import replace, replace_store

Json = dict[str, Any]
Scoped = tuple[str, str, Any]

_NOTHING = object()


def install(recorder: Recorder) -> None:
    """Watch the stores of the busy services."""
    _install_in_sqs(recorder)
    _install_in_dynamodb(recorder)
    _install_in_stepfunctions(recorder)
    _install_in_emr_serverless(recorder)
    emr_on_ec2.service().watch(lambda: recorder.note("emr"))


class WatchedStore(AccountRegionScopedDict):  # type: ignore[misc]
    """A store of ministack that tells which entry is set or goes; what it is given it may put into another form."""

    __slots__ = ("_noted", "_take")

    def __init__(
        self, noted: Callable[[Scoped], None], take: Callable[[Scoped, Any], Any] = lambda _key, entry: entry
    ) -> None:
        super().__init__()
        self._noted = noted
        self._take = take

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 -- ministack's
        account_id, region, _ = self._scoped(key)
        self.set_scoped(account_id, region, key, value)

    def __delitem__(self, key: Any) -> None:  # noqa: ANN401 -- ministack's
        self.pop_scoped(*self._scoped(key))

    def pop(self, key: Any, *default: Any) -> Any:  # noqa: ANN401 -- ministack's
        """Remove an entry of the request's scope."""
        return self.pop_scoped(*self._scoped(key), *default)

    def set_scoped(self, account_id: str, region: str, key: Any, value: Any) -> None:  # noqa: ANN401 -- ministack's
        """Set an entry."""
        scoped = account_id, region, key
        self._data[scoped] = self._take(scoped, value)
        self._noted(scoped)

    def pop_scoped(self, account_id: str, region: str, key: Any, *default: Any) -> Any:  # noqa: ANN401 -- ministack's
        """Remove an entry."""
        value = super().pop_scoped(account_id, region, key, *default)
        self._noted((account_id, region, key))
        return value

    def update(self, other: Any) -> None:  # noqa: ANN401 -- ministack's
        """Take what was saved."""
        super().update(other)
        for scoped, value in self._data.items():
            self._data[scoped] = self._take(scoped, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> AccountRegionScopedDict:
        return AccountRegionScopedDict.from_dict(deepcopy(self._data, memo))


def _install_in_sqs(recorder: Recorder) -> None:
    def noted(scoped: Scoped, message: str, value: object) -> None:
        changes: Callable[[], Iterable[Change]] = partial(_part, "sqs", "queues", scoped, message, value)
        recorder.note_part(("sqs", scoped, message), changes)

    queues = WatchedStore(
        lambda _scoped: recorder.note("sqs"), lambda scoped, queue: _Queue(queue, partial(noted, scoped))
    )
    replace_store(sqs, "_queues", queues)


Noted = Callable[[str, object], None]


class _Queue(dict[str, Any]):
    """A queue that tells which message comes and goes."""

    def __init__(self, queue: Json, noted: Noted) -> None:
        super().__init__(queue)
        self._noted = noted
        super().__setitem__("messages", _Messages(queue["messages"], noted))

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401 -- ministack's
        if name == "messages":
            kept = {message["id"] for message in value}
            for message in self["messages"]:
                if message["id"] not in kept:
                    self._noted(message["id"], _NOTHING)
            value = _Messages(value, self._noted)
        super().__setitem__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Json:
        return deepcopy(dict(self), memo)


class _Messages(list[Json]):
    def __init__(self, messages: Iterable[Json], noted: Noted) -> None:
        super().__init__(messages)
        self._noted = noted

    def append(self, message: Json) -> None:
        super().append(message)
        self._noted(message["id"], message)

    def remove(self, message: Json) -> None:
        super().remove(message)
        self._noted(message["id"], _NOTHING)

    def clear(self) -> None:
        for message in self:
            self._noted(message["id"], _NOTHING)
        super().clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Json]:
        return deepcopy(list(self), memo)


def _install_in_dynamodb(recorder: Recorder) -> None:
    def noted(table: Json, partition: str, sort: str) -> None:
        arn = parse_arn(table["TableArn"])
        scoped = arn.account_id, arn.region, table["TableName"]
        recorder.note_part(("dynamodb", scoped, partition, sort), partial(_item, scoped, table, partition, sort))

    def noting(change: Callable[..., object]) -> Callable[..., object]:
        def change_and_note(table: Json, partition: str, sort: str, *item: Json) -> object:
            before = change(table, partition, sort, *item)
            noted(table, partition, sort)
            return before

        return change_and_note

    def noting_all(replaced: Callable[[Json], None]) -> Callable[[Json], None]:
        def replace_and_note(table: Json) -> None:
            replaced(table)
            for partition, sorts in table["items"].items():
                for sort in sorts:
                    noted(table, partition, sort)

        return replace_and_note

    replace(dynamodb, "_set_item", "4e78ad492132", noting)
    replace(dynamodb, "_remove_item", "5cce50c99688", noting)
    replace(dynamodb, "_items_replaced", "b48626c371f7", noting_all)


def _item(scoped: Scoped, table: Json, partition: str, sort: str) -> Iterable[Change]:
    item = table["items"].get(partition, {}).get(sort, _NOTHING)
    return _part("dynamodb", "tables", scoped, json.dumps([partition, sort]), item)


def _install_in_stepfunctions(recorder: Recorder) -> None:
    written: dict[str, tuple[str, int]] = {}  # the status and the number of events; of executions that run

    def changes(scoped: Scoped) -> Iterator[Change]:
        execution = stepfunctions._executions.get_scoped(*scoped)
        arn = scoped[2]
        if execution is None:
            written.pop(arn, None)
            yield ["stepfunctions", "executions", repr(scoped), ""]
            return
        status, count = written.get(arn, ("", 0))
        events = execution["events"][count:]
        if status != execution["status"]:
            rest = {name: value for name, value in execution.items() if name != "events"}
            yield ["stepfunctions", "executions", repr(scoped), "", rest]
        for event in events:
            yield ["stepfunctions", "executions", repr(scoped), str(event["id"]), event]
        written[arn] = execution["status"], count + len(events)
        if execution["status"] != "RUNNING":
            del written[arn]

    def noted(scoped: Scoped) -> None:
        recorder.note_part(("stepfunctions", scoped), partial(changes, scoped))

    def note(execution: Json) -> None:
        arn = parse_arn(execution["executionArn"])
        noted((arn.account_id, arn.region, execution["executionArn"]))

    add_event, emit_event = stepfunctions._add_event, stepfunctions._emit_execution_status_event

    def add_event_and_note(execution: Json, *event: object) -> object:
        added = add_event(execution, *event)
        note(execution)
        return added

    def note_and_emit_event(execution: Json) -> None:
        note(execution)  # it has its status, and nobody knows yet
        emit_event(execution)

    replace_store(stepfunctions, "_executions", WatchedStore(noted))
    stepfunctions._add_event = add_event_and_note
    stepfunctions._emit_execution_status_event = note_and_emit_event


def _install_in_emr_serverless(recorder: Recorder) -> None:
    def noted(resource: Application | JobRun) -> None:
        recorder.note_part(("emr_serverless", resource.arn), partial(_resource, resource))

    def request(scoped: Scoped) -> Iterable[Change]:
        return _part("emr_serverless", "requests", scoped, "", requests.get_scoped(*scoped))

    def requested(scoped: Scoped) -> None:
        recorder.note_part(("emr_serverless", scoped), partial(request, scoped))

    requests = WatchedStore(requested)
    emr_serverless.service().watch(noted, requests)


def _resource(resource: Application | JobRun) -> Iterable[Change]:
    application = resource if isinstance(resource, Application) else resource.application
    scoped = application.account_id, application.region, application.id
    if isinstance(resource, Application):
        return _part("emr_serverless", "applications", scoped, "", application_state(resource))
    return _part("emr_serverless", "applications", scoped, resource.id, job_run_state(resource))


def _part(service: str, store: str, scoped: Scoped, part: str, value: object) -> Iterable[Change]:
    change: Change = [service, store, repr(scoped), part]
    return [change if value is _NOTHING else [*change, value]]
