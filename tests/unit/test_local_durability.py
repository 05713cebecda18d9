"""The journal of the local AWS: what was written is read again, wherever the server is killed."""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.core.responses import AccountRegionScopedDict

from emrp.local.durability.journal import Change, Journal, encoded
from emrp.local.durability.recorder import Recorder, State
from emrp.local.durability.replay import GONE, Replay
from emrp.local.durability.stores import joins

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=5,
)
CHANGES = st.tuples(st.sampled_from("ab"), st.just("store"), st.text(max_size=3), st.text(max_size=3)).flatmap(
    lambda place: st.just(list(place)) | VALUES.map(lambda value: [*place, value])
)
BATCHES = st.lists(st.lists(CHANGES, max_size=3), max_size=6)


def written(folder: Path, batches: list[list[Change]]) -> Path:
    """Write batches to a new file of a journal."""
    journal = Journal(folder)
    journal.begin()
    for batch in batches:
        journal.append([encoded(change) for change in batch])
    return max(folder.iterdir())


@given(BATCHES, BATCHES, st.data())
def test_journal_has_every_whole_batch_and_no_other_when_it_is_cut_anywhere(
    first: list[list[Change]], second: list[list[Change]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        content = written(folder, first).read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        max(folder.iterdir()).write_bytes(content[:cut])
        kept = first[: content[:cut].count(b"\n")]
        written(folder, second)  # by the next server, which is killed as well
        assert list(Journal(folder).read()) == [change for batch in kept + second for change in batch]


@given(BATCHES, st.data())
def test_journal_ends_before_a_batch_when_that_is_not_what_was_written(
    batches: list[list[Change]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        file = written(Path(name), [*batches, [["a", "store", "", "", "last"]]])
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(content.rstrip(b"\n").rfind(b"\n") + 1, len(content) - 2))
        content[place] ^= 1
        file.write_bytes(content)
        assert list(Journal(Path(name)).read()) == [change for batch in batches for change in batch]


def test_nothing_of_a_batch_is_there_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.begin()
    journal.append([encoded(["a", "store", "", "", 1])])
    with monkeypatch.context() as full:
        write = os.write
        full.setattr("os.write", lambda file, line: write(file, line[:10]))
        with pytest.raises(OSError, match="No space left"):
            journal.append([encoded(["a", "store", "", "", 2])])
    journal.append([encoded(["a", "store", "", "", 3])])
    assert [change[-1] for change in journal.read()] == [1, 3]


class Service:
    """A service with queues: each has tags, and messages as parts."""

    def __init__(self) -> None:
        self.queues = AccountRegionScopedDict()
        self.saved: State = {}

    def without_messages(self) -> State:
        rest = {key: {"tags": queue["tags"]} for key, queue in self.queues.all_items()}
        return {"queues": AccountRegionScopedDict.from_dict(rest)}

    def save(self) -> bool:
        self.saved = {"queues": deepcopy(self.queues)}
        return True


OPERATIONS = st.tuples(
    st.sampled_from(["tag", "delete", "send", "receive", "commit", "compact", "compact without saving"]),
    st.sampled_from("pq"),
    st.integers(0, 4),
)


@given(st.lists(OPERATIONS, max_size=30))
def test_next_server_has_what_was_committed_when_one_is_killed_after_any_operations(
    operations: list[tuple[str, str, int]],
) -> None:
    with TemporaryDirectory() as name:
        service = Service()
        recorder = Recorder(Path(name), {"sqs": service.without_messages}, lambda: False)
        recorder.compact(service.save)
        for operation, queue, number in operations:
            apply(service, recorder, operation, ("123456789012", "eu-west-1", queue), number)
        recorder.commit()

        replay = Replay(Journal(Path(name)).read())
        restored = replay.onto("sqs", deepcopy(service.saved), joins("sqs"))
        assert plain(restored["queues"]) == plain(service.queues)


def apply(service: Service, recorder: Recorder, operation: str, scoped: tuple[str, str, str], number: int) -> None:
    """Do something to a queue as ministack does it, and note it as `parts` does."""
    queue = service.queues.get_scoped(*scoped)
    message = {"id": str(number), "receipt_handle": None}
    part = ["sqs", "queues", repr(scoped), str(number)]
    match operation:
        case "commit":
            recorder.commit()
        case "compact":
            recorder.compact(service.save)
        case "compact without saving":
            recorder.compact(lambda: False)
        case "tag" if queue:
            queue["tags"] = number
            recorder.note("sqs")
        case "tag":
            service.queues.set_scoped(*scoped, {"tags": number, "messages": []})
            recorder.note("sqs")
            recorder.commit()
        case "delete" if queue:
            service.queues.pop_scoped(*scoped)
            recorder.note("sqs")
            recorder.commit()
        case "send" if queue and message not in queue["messages"]:
            queue["messages"].append(message)
            recorder.note_part((scoped, number), lambda: [[*part, message]])
        case "receive" if queue and message in queue["messages"]:
            queue["messages"].remove(message)
            recorder.note_part((scoped, number), lambda: [part])


def plain(queues: AccountRegionScopedDict) -> dict[Any, Any]:
    """Return queues without the order of their messages, which standard queues do not promise."""
    return {
        key: (queue["tags"], sorted(message["id"] for message in queue["messages"]))
        for key, queue in queues.all_items()
    }


def test_change_is_written_with_the_next_ones_when_writing_has_failed(tmp_path: Path) -> None:
    states: list[State] = [{"alarms": 1}]
    recorder = Recorder(tmp_path, {"cloudwatch": lambda: states[-1]}, lambda: False)
    with pytest.raises(ValueError, match="not begun"):
        commit_changed(recorder, states, 2)
    recorder.compact(lambda: True)
    commit_changed(recorder, states, 3)
    assert list(Journal(tmp_path).read()) == [["cloudwatch", "alarms", "", "", 3]]


def commit_changed(recorder: Recorder, states: list[State], alarms: int) -> None:
    states.append({"alarms": alarms})
    recorder.note("cloudwatch")
    recorder.commit()


def test_all_services_are_looked_through_when_a_deployment_has_ended(tmp_path: Path) -> None:
    deploying = True
    roles: list[str] = []
    recorder = Recorder(tmp_path, {"iam": lambda: {"roles": list(roles)}}, lambda: deploying)
    recorder.compact(lambda: True)
    recorder.commit()
    roles.append("made by the stack")
    deploying = False
    recorder.commit()
    assert list(Journal(tmp_path).read()) == [["iam", "roles", "", "", ["made by the stack"]]]


@pytest.mark.parametrize(
    ("service", "store", "rest", "saved", "parts", "joined"),
    [
        (
            "dynamodb",
            "tables",
            {"TableName": "t"},
            {"items": {"a": {"1": {"v": 0}}, "b": {"": {"v": 1}}}},
            {'["a", "1"]': GONE, '["c", "2"]': {"v": 2}},
            {"items": {"b": {"": {"v": 1}}, "c": {"2": {"v": 2}}}, "ItemCount": 2},
        ),
        (
            "stepfunctions",
            "executions",
            {"status": "FAILED"},
            {"status": "RUNNING", "events": [{"id": 1, "type": "a"}, {"id": 2, "type": "b"}]},
            {"3": {"id": 3, "type": "c"}, "2": {"id": 2, "type": "b"}},
            {"status": "FAILED", "events": [{"id": 1, "type": "a"}, {"id": 2, "type": "b"}, {"id": 3, "type": "c"}]},
        ),
        (
            "sqs",
            "queues",
            {},
            {"messages": [{"id": "1", "receipt_handle": None}, {"id": "2", "receipt_handle": None}]},
            {"1": GONE, "3": {"id": "3", "receipt_handle": None}},
            {"messages": [{"id": "2", "receipt_handle": None}, {"id": "3", "receipt_handle": None}]},
        ),
        (
            "emr_serverless",
            "applications",
            {"application": {"state": "STARTED"}},
            None,
            {"1": {"request": {}}},
            {"application": {"state": "STARTED"}, "job_runs": {"1": {"request": {}}}},
        ),
    ],
)
def test_entry_has_its_parts_when_it_is_put_together(
    service: str, store: str, rest: State, saved: State | None, parts: State, joined: State
) -> None:
    join: Callable[..., State] = joins(service)[store]
    entry = join(rest, saved, parts)
    assert {name: entry[name] for name in joined} == joined


def test_message_is_visible_when_somebody_had_received_it_in_the_server_that_ended() -> None:
    received = {"id": "1", "receipt_handle": "handle", "visible_at": 4e9}
    (message,) = joins("sqs")["queues"]({}, {"messages": [received]}, {})["messages"]
    assert message["receipt_handle"] is None
    assert message["visible_at"] < 4e9
