"""Files in the bucket become registered pipelines with schedules and rules, and bad ones are reported."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from emr_pipelines.errors import RequestRefusedError, TransientError
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord

from tests.unit.conftest import SALARIES, example_event
from tests.unit.fakes import FakeDomainEvents

Invoke = Callable[..., Any]

FILE = "pipelines/salaries.yaml"
BAD = "name: salaries\njobs: 3\n"
SCHEDULES = """\
  schedules:
    - {expression: "cron(0 14 ? * FRI *)", timezone: Europe/Dublin, parameters: {top: 5}}
    - {expression: rate(1 hour), enabled: false}
"""
EVENTS = """\
  events:
    - {pattern: {source: [emr-pipelines], detail-type: [Pipeline Run Succeeded]}, parameters: {top: 3}}
"""


def triggered_by(lines: str) -> str:
    """Return the salaries pipeline with more triggers."""
    return SALARIES.replace("triggers:\n", f"triggers:\n{lines}")


@pytest.fixture
def registry(record: RunRecord) -> PipelineRegistry:
    return PipelineRegistry("runs")


class MotosEventRules(EventRules):
    """moto has no TestEventPattern: here a pattern is refused when it says so."""

    def refusal(self, pattern: dict[str, Any]) -> str | None:
        return "Unrecognized match type refuse" if "refuse" in json.dumps(pattern) else None


class NoRules:
    """EventBridge without any rule; it remembers the prefixes that it was asked for."""

    def __init__(self) -> None:
        self.prefixes: list[str] = []

    def get_paginator(self, _operation: str) -> "NoRules":
        return self

    def paginate(self, *, NamePrefix: str) -> list[dict[str, Any]]:  # noqa: N803 - boto3's
        self.prefixes.append(NamePrefix)
        return [{"Rules": []}]


class Files:
    """The pipeline files of a versioned bucket; after each change the function gets S3's event."""

    def __init__(self, s3: Any, invoke: Invoke) -> None:
        self._s3 = s3
        self._invoke = invoke

    def put(self, text: str, key: str = FILE) -> str:
        version: str = self._s3.put_object(Bucket="bucket", Key=key, Body=text)["VersionId"]
        self.event("object_created", key)
        return version

    def delete(self, key: str = FILE) -> None:
        self._s3.delete_object(Bucket="bucket", Key=key)
        self.event("object_deleted", key)

    def event(self, name: str, key: str = FILE) -> None:
        event = example_event(f"register_pipeline.{name}")
        event["detail"]["object"]["key"] = key
        self._invoke("register_pipeline", event)

    def report(self, key: str = FILE) -> str | None:
        try:
            body: bytes = self._s3.get_object(Bucket="bucket", Key=f"{key}.errors")["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return None
        return body.decode()


@pytest.fixture
def files(s3: Any, registry: PipelineRegistry, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Files:
    from register_pipeline import app  # noqa: PLC0415 - reads the environment

    s3.delete_object(Bucket="bucket", Key=FILE)
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    boto3.client("scheduler").create_schedule_group(Name="emr-pipelines")
    boto3.client("sns").create_topic(Name="topic")
    monkeypatch.setattr(
        app, "rules", MotosEventRules("emr-pipelines", "arn:aws:sqs:us-east-1:1:queue", "arn:aws:sqs:us-east-1:1:dead")
    )
    return Files(s3, invoke)


def schedules() -> dict[str, dict[str, Any]]:
    """Return every schedule of the stack by its expression."""
    scheduler = boto3.client("scheduler")
    names = [item["Name"] for item in scheduler.list_schedules(GroupName="emr-pipelines")["Schedules"]]
    found: list[dict[str, Any]] = [dict(scheduler.get_schedule(GroupName="emr-pipelines", Name=name)) for name in names]
    return {schedule["ScheduleExpression"]: schedule | {"ResponseMetadata": None} for schedule in found}


def rules() -> dict[str, dict[str, Any]]:
    """Return the target of every rule by the rule's name."""
    events = boto3.client("events")
    names = [rule["Name"] for rule in events.list_rules()["Rules"]]
    return {name: dict(events.list_targets_by_rule(Rule=name)["Targets"][0]) for name in names}


class TestRegistered:
    """A good file is live."""

    def test_pipeline_is_registered_when_its_file_is_uploaded(
        self, files: Files, registry: PipelineRegistry, events: FakeDomainEvents
    ) -> None:
        version = files.put(SALARIES)

        definition = registry.get("salaries")
        assert definition
        assert (definition.file, definition.version) == (FILE, version)
        (registered,) = registry.list()
        assert registered.settled
        assert registered.triggers["uploads"][0]["prefix"] == "landing/salaries/"
        assert events.types == ["Pipeline Registered"]

    def test_pipeline_is_replaced_when_a_new_version_is_uploaded(
        self, files: Files, registry: PipelineRegistry, events: FakeDomainEvents
    ) -> None:
        files.put(SALARIES)
        version = files.put(SALARIES.replace("top: 10", "top: 20"))

        definition = registry.get("salaries")
        assert definition
        assert (definition.version, definition.data["parameters"]["top"]) == (version, 20)
        assert len({event.detail["id"] for event in events.published}) == 2

    def test_nothing_changes_when_an_event_comes_again(self, files: Files, events: FakeDomainEvents) -> None:
        files.put(triggered_by(SCHEDULES))
        before = schedules()
        files.event("object_created")
        files.event("object_deleted")

        assert schedules() == before
        assert events.types == ["Pipeline Registered"]

    def test_registration_is_finished_when_the_first_attempt_died(
        self, files: Files, registry: PipelineRegistry, events: FakeDomainEvents
    ) -> None:
        events.failure = TransientError("PutEvents")
        with pytest.raises(TransientError):
            files.put(triggered_by(SCHEDULES))
        assert [registered.settled for registered in registry.list()] == [False]

        events.failure = None
        files.event("object_created")

        assert [registered.settled for registered in registry.list()] == [True]
        assert events.types == ["Pipeline Registered"]

    def test_pipeline_is_retired_when_its_file_is_deleted(
        self, files: Files, registry: PipelineRegistry, events: FakeDomainEvents
    ) -> None:
        files.put(triggered_by(SCHEDULES + EVENTS))
        files.delete()
        files.event("object_deleted")

        assert (registry.list(), registry.get("salaries")) == ([], None)
        assert (schedules(), rules()) == ({}, {})
        assert events.types == ["Pipeline Registered", "Pipeline Retired"]

    def test_other_pipelines_stay_when_one_is_retired(self, files: Files, registry: PipelineRegistry) -> None:
        files.put(triggered_by(SCHEDULES))
        longer = triggered_by(SCHEDULES + EVENTS).replace("name: salaries", "name: salaries-1", 1)
        files.put(longer, "pipelines/salaries-1.yaml")
        files.delete()

        assert [registered.name for registered in registry.list()] == ["salaries-1"]
        assert (len(schedules()), len(rules())) == (2, 1)


class TestRejected:
    """A bad file changes nothing and is reported."""

    def test_earlier_version_stays_live_when_a_bad_one_is_uploaded(
        self, files: Files, registry: PipelineRegistry, events: FakeDomainEvents
    ) -> None:
        live = files.put(triggered_by(SCHEDULES))
        bad = files.put(BAD)

        assert [registered.version for registered in registry.list()] == [live]
        assert len(schedules()) == 2
        assert events.types == ["Pipeline Registered", "Pipeline File Rejected"]
        detail = events.published[-1].detail
        assert (detail["file"], detail["fileVersion"], detail["problemCount"]) == (FILE, bad, len(detail["problems"]))
        assert {"path": "jobs", "line": 2, "message": "Input should be a valid list"} in detail["problems"]
        report = files.report()
        assert report
        assert "line 2: jobs: Input should be a valid list" in report
        assert bad in report

    def test_bad_version_is_reported_once_when_its_event_comes_again(
        self, files: Files, events: FakeDomainEvents
    ) -> None:
        files.put(BAD)
        files.event("object_created")
        assert events.types == ["Pipeline File Rejected"]

        files.put(BAD)  # another version
        assert events.types == ["Pipeline File Rejected"] * 2
        assert len({event.detail["id"] for event in events.published}) == 2

    @pytest.mark.parametrize("deleted", [False, True])
    def test_report_goes_when_the_file_is_good_or_gone(self, files: Files, deleted: bool) -> None:
        files.put(BAD)
        assert files.report()

        if deleted:
            files.delete()
        else:
            files.put(SALARIES)

        assert files.report() is None

    def test_pipeline_is_retired_when_its_bad_file_is_deleted(self, files: Files, registry: PipelineRegistry) -> None:
        files.put(SALARIES)
        files.put(BAD)
        files.delete()

        assert registry.list() == []

    def test_second_file_is_rejected_when_a_pipeline_has_one(
        self, files: Files, registry: PipelineRegistry, events: FakeDomainEvents
    ) -> None:
        files.put(SALARIES)
        second = "pipelines/salaries.yml"
        files.put(SALARIES, second)

        assert [registered.file for registered in registry.list()] == [FILE]
        assert f'"salaries" is registered from {FILE}: delete one of the two files' in (files.report(second) or "")

        files.delete(second)
        assert [registered.file for registered in registry.list()] == [FILE]
        assert files.report(second) is None
        assert events.types == ["Pipeline Registered", "Pipeline File Rejected"]

    def test_second_file_is_registered_when_the_first_is_deleted(
        self, files: Files, registry: PipelineRegistry
    ) -> None:
        second = "pipelines/salaries.json"
        files.put(SALARIES, second)
        files.put(SALARIES)
        assert [registered.file for registered in registry.list()] == [second]

        files.delete(second)

        assert [registered.file for registered in registry.list()] == [FILE]
        assert files.report() is None

    def test_pattern_is_a_problem_of_the_file_when_eventbridge_refuses_it(
        self, files: Files, registry: PipelineRegistry
    ) -> None:
        files.put(triggered_by("  events: [{pattern: {source: [{refuse: x}]}}]\n"))

        assert registry.list() == []
        assert "triggers.events[0].pattern: Unrecognized match type refuse" in (files.report() or "")


class TestSchedules:
    """What EventBridge Scheduler is told."""

    def test_schedule_says_when_and_what_when_the_file_does(self, files: Files) -> None:
        files.put(triggered_by(SCHEDULES))

        cron, rate = schedules()["cron(0 14 ? * FRI *)"], schedules()["rate(1 hour)"]
        assert (cron["ScheduleExpressionTimezone"], cron["State"]) == ("Europe/Dublin", "ENABLED")
        assert (rate["ScheduleExpressionTimezone"], rate["State"]) == ("UTC", "DISABLED")
        assert cron["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert cron["Target"]["DeadLetterConfig"]["Arn"].endswith("EventDeadLetterQueue")
        message = json.loads(cron["Target"]["Input"])
        assert message["parameters"] == {"top": 5}
        assert (
            message["schedule"].items()
            >= {
                "pipeline": "salaries",
                "index": 0,
                "expression": "cron(0 14 ? * FRI *)",
                "scheduledTime": "<aws.scheduler.scheduled-time>",
            }.items()
        )

    def test_parameter_stays_as_it_is_when_it_looks_like_a_placeholder(self, files: Files) -> None:
        lines = SCHEDULES.replace("top: 5", "input: <aws.scheduler.scheduled-time>")
        files.put(triggered_by(lines))

        text = schedules()["cron(0 14 ? * FRI *)"]["Target"]["Input"]
        assert text.count("<") == 1
        assert json.loads(text)["parameters"] == {"input": "<aws.scheduler.scheduled-time>"}

    def test_schedule_is_left_alone_when_another_comes_and_goes(self, files: Files) -> None:
        files.put(triggered_by(SCHEDULES))
        before = schedules()["cron(0 14 ? * FRI *)"]
        files.put(triggered_by(SCHEDULES + "    - {expression: rate(2 days)}\n"))
        assert len(schedules()) == 3
        files.put(triggered_by(SCHEDULES.replace("rate(1 hour)", "rate(2 hours)")))

        assert schedules().keys() == {"cron(0 14 ? * FRI *)", "rate(2 hours)"}
        assert schedules()["cron(0 14 ? * FRI *)"] == before

    def test_schedule_is_updated_when_it_is_enabled(self, files: Files) -> None:
        files.put(triggered_by(SCHEDULES))
        files.put(triggered_by(SCHEDULES.replace("enabled: false", "enabled: true")))

        assert schedules()["rate(1 hour)"]["State"] == "ENABLED"

    def test_schedule_is_not_made_when_its_time_is_over(self, files: Files, registry: PipelineRegistry) -> None:
        files.put(triggered_by("  schedules: [{expression: at(2020-01-01T00:00:00)}]\n"))

        assert schedules() == {}
        assert [registered.settled for registered in registry.list()] == [True]


class TestEventRules:
    """What EventBridge is told."""

    def test_rule_puts_the_whole_event_on_the_trigger_queue_when_it_matches(self, files: Files) -> None:
        files.put(triggered_by(EVENTS))

        ((name, target),) = rules().items()
        assert name.startswith("emr-pipelines.salaries.")
        assert (target["Arn"], target["DeadLetterConfig"]) == (
            "arn:aws:sqs:us-east-1:1:queue",
            {"Arn": "arn:aws:sqs:us-east-1:1:dead"},
        )
        template = target["InputTransformer"]["InputTemplate"]
        filled = json.loads(template.replace("<aws.events.event.json>", '{"source": "x"}'))
        assert filled == {"pipeline": "salaries", "event": {"source": "x"}, "parameters": {"top": 3}}

    def test_rule_is_another_one_when_its_pattern_changes(self, files: Files) -> None:
        files.put(triggered_by(EVENTS))
        (before,) = rules()
        files.put(triggered_by(EVENTS.replace("Succeeded", "Failed")))
        (after,) = rules()

        assert before != after

    @pytest.mark.parametrize("stack", ["a", "emr-pipelines", "s" * 43])
    def test_rule_has_a_name_that_eventbridge_takes_when_names_are_long(self, files: Files, stack: str) -> None:
        entry = {"pattern": {"source": ["x"]}, "parameters": {}}
        gateway = MotosEventRules(stack, "arn:aws:sqs:us-east-1:1:queue", "arn:aws:sqs:us-east-1:1:dead")
        one, other = "p" * 48, "p" * 47 + "q"
        gateway.apply(one, [entry])
        gateway.apply(other, [entry])
        assert len(rules()) == 2
        assert all(len(name) <= 64 and name.startswith(f"{stack}.") for name in rules())

        gateway.apply(one, [])
        assert len(rules()) == 1

    @pytest.mark.parametrize("length", [44, 60, 64])
    def test_file_has_a_problem_when_the_name_of_the_stack_leaves_no_room_for_a_rule(
        self, aws: None, monkeypatch: pytest.MonkeyPatch, length: int
    ) -> None:
        gateway = EventRules("s" * length, "arn:aws:sqs:us-east-1:1:queue", "arn:aws:sqs:us-east-1:1:dead")
        events = NoRules()
        monkeypatch.setattr(gateway, "_events", events)

        assert "43 characters fit" in str(gateway.refusal({"source": ["x"]}))
        gateway.apply("p" * 48, [])  # nothing to remove, and no request that EventBridge refuses
        gateway.remove_all()
        assert len(events.prefixes) == 2
        assert max(map(len, events.prefixes)) <= 64

    def test_file_is_rejected_when_eventbridge_takes_no_template_with_its_parameters(
        self, files: Files, registry: PipelineRegistry
    ) -> None:
        def told(length: int) -> str:
            return triggered_by(EVENTS.replace("top: 3", f"input: {'x' * length}"))

        files.put(told(8000))
        (target,) = rules().values()
        room = 8192 - len(target["InputTransformer"]["InputTemplate"])
        fits = files.put(told(8000 + room))
        files.put(told(8001 + room))

        assert [registered.version for registered in registry.list()] == [fits]
        assert "triggers.events[0].parameters: are too long" in (files.report() or "")


class TestNotifications:
    """Addresses are subscribed, and topics are those that the stack may publish to."""

    def told(self, lines: str) -> str:
        return SALARIES.replace("notifications:\n", f"notifications:\n  {lines}\n")

    def subscriptions(self) -> list[str]:
        sns = boto3.client("sns")
        return [item["Endpoint"] for item in sns.list_subscriptions()["Subscriptions"]]

    def test_address_is_subscribed_when_and_as_long_as_a_file_names_it(self, files: Files) -> None:
        files.put(self.told("email: [ops@example.org]"))
        assert self.subscriptions() == ["ops@example.org"]

        files.put(SALARIES)
        assert self.subscriptions() == []

    def test_address_is_asked_once_for_each_version_when_it_does_not_confirm(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from register_pipeline import app  # noqa: PLC0415 - reads the environment

        asked: list[str] = []
        subscribe, listed = app.subscriptions._subscribe, app.subscriptions._list

        def asking(address: str, attributes: dict[str, str]) -> str:
            asked.append(address)
            return subscribe(address, attributes)

        monkeypatch.setattr(app.subscriptions, "_subscribe", asking)
        monkeypatch.setattr(app.subscriptions, "_list", lambda: dict.fromkeys(listed(), "PendingConfirmation"))
        files.put(self.told("email: [ops@example.org]"))
        files.event("object_created")
        assert asked == ["ops@example.org"]

        files.put(self.told("email: [ops@example.org]").replace("top: 10", "top: 20"))
        assert asked == ["ops@example.org"] * 2

    def test_address_is_forgotten_when_its_file_is_deleted(self, files: Files) -> None:
        files.put(self.told("email: [ops@example.org]"))
        files.delete()

        assert self.subscriptions() == []

    def test_only_the_file_with_it_is_rejected_when_sns_refuses_an_address(
        self, files: Files, registry: PipelineRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from register_pipeline import app  # noqa: PLC0415 - reads the environment

        subscribe = app.subscriptions._subscribe

        def refusing(address: str, attributes: dict[str, str]) -> str:
            if address == "bad@example.org":
                raise RequestRefusedError("Subscribe", "InvalidParameter", "Invalid parameter: Email address")
            return subscribe(address, attributes)

        monkeypatch.setattr(app.subscriptions, "_subscribe", refusing)
        live = files.put(self.told("email: [ops@example.org]"))
        files.put(self.told("email: [pat@example.org, bad@example.org]"))
        other = self.told("email: [sam@example.org]").replace("name: salaries", "name: other", 1)
        files.put(other, "pipelines/other.yaml")

        assert {item.name: (item.version == live, item.settled) for item in registry.list()} == {
            "other": (False, True),
            "salaries": (True, True),
        }
        line = 1 + self.told("email: [pat").partition("email:")[0].count("\n")
        refused = "Subscribe was refused (InvalidParameter): Invalid parameter: Email address"
        assert f"line {line}: notifications.email[1]: {refused}" in (files.report() or "")
        assert sorted(self.subscriptions()) == ["ops@example.org", "sam@example.org"]

    def test_file_is_rejected_when_the_stack_may_not_publish_to_its_topics(
        self, files: Files, registry: PipelineRegistry
    ) -> None:
        boto3.client("sns").create_topic(Name="emr-pipelines-notify-sales")
        files.put(self.told("topics: [emr-pipelines-notify-sales, sales, emr-pipelines-notify-gone]"))

        report = files.report()
        assert report
        assert "notifications.topics[1]: must begin with emr-pipelines-notify-" in report
        assert "notifications.topics[2]: there is no such topic" in report
        assert "topics[0]" not in report
        assert registry.find("salaries") is None
