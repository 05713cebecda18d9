"""Whatever happens at the same time, and wherever an invocation dies: what is live is what the bucket holds.

Several invocations run step by step, a step being a call of a gateway that may take effect before or after another
invocation's. Which one goes on, dies or starts, and when somebody uploads or deletes a file, is for Hypothesis to say.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from emr_pipelines import register_pipeline as use_case
from emr_pipelines.definition import Definition
from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import InvalidPipelineError, Problem, TransientError
from emr_pipelines.gateways.email_subscriptions import EmailSubscriptions
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket, PipelineFiles, StoredFile
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry, Registered
from emr_pipelines.gateways.schedules import Schedules
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fakes import FakeDomainEvents, FakeTopic

KEYS = ("pipelines/x.yaml", "pipelines/x.json")
_DEADLINE_SECONDS = 10


class Invocation(threading.Thread):
    """One invocation of the function, which stands still before each step until it is told to go on."""

    current = threading.local()

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._dies = False
        self.over = False
        self.failed = False
        self.start()
        self._wait()

    def run(self) -> None:
        Invocation.current.invocation = self
        try:
            self.step()
            self._work()
        except TransientError:
            self.failed = True
        finally:
            self.over = True
            self._stands.release()

    def step(self) -> None:
        """Stand still; called within the invocation."""
        self._stands.release()
        assert self._go.acquire(timeout=_DEADLINE_SECONDS)
        if self._dies:
            raise TransientError("The function dies here.")

    def go_on(self, *, and_die: bool = False) -> None:
        """Let the invocation do its next step; called from outside."""
        self._dies = and_die
        self._go.release()
        self._wait()

    def _wait(self) -> None:
        assert self._stands.acquire(timeout=_DEADLINE_SECONDS)


def step() -> None:
    Invocation.current.invocation.step()


class Bucket(PipelineBucket):
    """Files whose text is "good ..." or "bad"; their versions are counted."""

    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        self.modified: dict[str, int] = {}
        self.reports: dict[str, str] = {}
        self.changes = 0

    def change(self, key: str, text: str | None) -> None:
        self.changes += 1
        if text is None:
            self.files.pop(key, None)
        else:
            self.files[key] = StoredFile(key, f"v{self.changes}", text)
            self.modified[key] = self.changes // 2  # S3 counts whole seconds

    def files_of(self, name: str) -> PipelineFiles:
        step()
        files = sorted(self.files.values(), key=lambda file: (self.modified[file.key], file.key))
        return PipelineFiles(files, dict(self.reports))

    def write_report(self, key: str, text: str) -> None:
        step()
        self.reports[key] = text

    def delete_report(self, key: str) -> None:
        step()
        self.reports.pop(key, None)


class Registry(PipelineRegistry):
    """One pipeline's two items, which are written together."""

    def __init__(self) -> None:
        self.summary: Registered | None = None
        self.definition: Definition | None = None

    def find(self, name: str) -> Registered | None:
        step()
        return self.summary

    def get(self, name: str) -> Definition | None:
        step()
        return self.definition

    def put(self, definition: Definition) -> None:
        step()
        self.definition = definition
        emails = frozenset(definition.data["notifications"]["email"])
        self.summary = Registered("x", definition.file, definition.version, "", {}, settled=False, emails=emails)

    def list(self) -> list[Registered]:
        step()
        return [self.summary] if self.summary else []

    def settle(self, definition: Definition) -> None:
        step()
        if self.summary and (self.summary.file, self.summary.version) == (definition.file, definition.version):
            self.summary = replace(self.summary, settled=True)

    def remove(self, name: str) -> None:
        step()
        self.definition = None
        self.summary = None


class Things:
    """Schedules or rules, made and removed one by one."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def apply(self, pipeline: str, entries: list[Any]) -> None:
        for name in entries:
            step()
            self.names.add(name)
        step()
        for name in self.names - set(entries):
            step()
            self.names.discard(name)


class Rules(Things, EventRules):
    def refusal(self, pattern: object) -> str | None:
        return None


class ScheduleGroup(Things, Schedules):
    pass


class Subscriptions(EmailSubscriptions):
    def __init__(self) -> None:
        self.addresses: dict[str, set[str]] = {}

    def subscribe(self, wanted: Mapping[str, Collection[str]], *, ask_again: bool) -> dict[str, str]:
        step()
        self.addresses |= {address: set(pipelines) for address, pipelines in wanted.items()}
        return {}

    def apply(self, wanted: Mapping[str, Collection[str]]) -> dict[str, str]:
        step()
        self.addresses = {address: set(pipelines) for address, pipelines in wanted.items()}
        return {}


class Bus(FakeDomainEvents):
    def publish(self, event: DomainEvent) -> None:
        step()
        super().publish(event)


def check(file: str, name: str, text: str, version: str) -> Definition:
    """Stand in for check_pipeline, which is tested elsewhere."""
    if text == "bad":
        raise InvalidPipelineError(file, [Problem("", "is bad")])
    return Definition(name=name, file=file, version=version, lines={}, data=triggers(text))


def triggers(text: str) -> dict[str, Any]:
    return {
        "triggers": {"schedules": [f"{text} schedule", "always"], "events": []},
        "notifications": {"email": [f"{text}@example.org"]},
    }


class World:
    """The function with all that it works on."""

    def __init__(self) -> None:
        self.bucket, self.registry, self.bus = Bucket(), Registry(), Bus()
        self.schedules, self.rules, self.subscriptions = ScheduleGroup(), Rules(), Subscriptions()
        self.events = 0  # those of S3 that nobody has received
        self.running: list[Invocation] = []

    def change(self, key: str, text: str | None) -> None:
        self.bucket.change(key, text)
        self.events += 1

    def receive(self) -> None:
        self.events -= 1
        self.running.append(
            Invocation(
                lambda: use_case.register_pipeline(
                    "x",
                    bucket=self.bucket,
                    registry=self.registry,
                    schedules=self.schedules,
                    rules=self.rules,
                    subscriptions=self.subscriptions,
                    topic=FakeTopic(),
                    events=self.bus,
                )
            )
        )

    def go_on(self, invocation: Invocation, *, and_die: bool = False) -> None:
        invocation.go_on(and_die=and_die)
        if invocation.over:
            self.running.remove(invocation)
            self.events += invocation.failed  # Lambda tries again


@contextmanager
def new_world() -> Iterator[World]:
    """Provide a world in which nobody runs any more at the end, also when the test fails."""
    world = World()
    try:
        with mock.patch.object(use_case, "check_pipeline", check):
            yield world
    finally:
        while world.running:
            world.go_on(world.running[0], and_die=True)


@settings(max_examples=150)
@given(st.data())
def test_what_is_live_is_what_the_bucket_holds_when_all_events_are_handled(data: st.DataObject) -> None:
    with new_world() as world:
        for _ in range(data.draw(st.integers(1, 60), "steps")):
            possible = ["change"] + ["receive"] * bool(world.events and len(world.running) < 3)
            possible += ["go on", "go on", "go on", "die"] * bool(world.running)
            match data.draw(st.sampled_from(possible)):
                case "change":
                    text = data.draw(st.sampled_from(["good 1", "good 2", "bad", None]))
                    world.change(data.draw(st.sampled_from(KEYS)), text)
                case "receive":
                    world.events += data.draw(st.booleans(), "twice")
                    world.receive()
                case chosen:
                    world.go_on(data.draw(st.sampled_from(world.running)), and_die=chosen == "die")
        while world.events or world.running:
            if world.events and len(world.running) < 3:
                world.receive()
            world.go_on(data.draw(st.sampled_from(world.running)))

    assert_live_is_what_the_bucket_holds(world)


def assert_live_is_what_the_bucket_holds(world: World) -> None:
    live, files = world.registry.summary, world.bucket.files
    good = {key for key, file in files.items() if file.text != "bad"}
    if live is None:
        assert not good
        assert (world.registry.definition, world.schedules.names, world.subscriptions.addresses) == (None, set(), {})
        assert world.bucket.reports.keys() == files.keys()
        return
    definition = world.registry.definition
    assert definition
    assert (definition.file, definition.version) == (live.file, live.version)
    assert live.settled
    assert live.file in files
    assert world.schedules.names == set(definition.data["triggers"]["schedules"])
    assert world.subscriptions.addresses == {address: {"x"} for address in definition.data["notifications"]["email"]}
    if live.file in good:
        assert live.version == files[live.file].version
    assert world.bucket.reports.keys() == files.keys() - ({live.file} & good)
    told = [event.detail["id"] for event in world.bus.published]
    assert f"{live.file}/{live.version}/REGISTERED" in told
    for key in world.bucket.reports:
        assert f"{key}/{files[key].version}/REJECTED" in told
