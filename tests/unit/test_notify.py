"""People get one notification for each thing that happens, a burst of them in one; topics get it once, too."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from emr_pipelines.clock import iso_time
from emr_pipelines.errors import RequestRefusedError, TransientError
from emr_pipelines.gateways import held_notifications
from emr_pipelines.gateways.aws import client
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import NOTIFIED, Job

from tests.unit.conftest import ROOT, RUN_ID, example_event
from tests.unit.fakes import FakeTopic

Invoke = Callable[..., Any]

NOON = "2026-11-21T12:00:00.000000Z"
LOGS = "logs/applications/app1/jobs/run1/SPARK_DRIVER"


class Clock:
    """What the window of a burst takes for now."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def now(self) -> str:
        return iso_time(datetime.fromisoformat(NOON) + timedelta(minutes=self.minutes))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(held_notifications, "now", clock.now)
    return clock


@pytest.fixture
def held(record: RunRecord) -> HeldNotifications:
    return HeldNotifications("runs")


def plan_again(record: RunRecord, **changes: Any) -> None:
    """Let the pipeline file have said something else when the run was planned."""
    run = record.get_run(RUN_ID)
    assert run is not None
    record.save_plan(replace(run, **changes), [])


def collected_event(held: HeldNotifications) -> dict[str, Any]:
    """Return the event that a sweep publishes for what is due."""
    (due,) = held.list_due()
    event = example_event("notify.notifications_collected")
    event["detail"] |= {"id": f"{due.first}/COLLECTED", "pipeline": due.pipeline, "state": due.state}
    return event


def failure(run_id: str) -> dict[str, Any]:
    """Return the event for a run that has failed."""
    event = example_event("notify.pipeline_run_failed")
    event["detail"] |= {"id": f"{run_id}/FAILED", "run": run_id}
    return event


def test_notify_lists_what_was_left_when_a_sweep_found_something(invoke: Invoke, topic: FakeTopic) -> None:
    invoke("notify", "sweep_completed")

    ((subject, body, attributes),) = topic.sent
    assert subject.startswith("Swept up 1 more and run salaries-1: its execution ended ABORTED")
    assert "- application 00fl7c3k9h2a5o0p of run salaries-0" in body
    assert "still there: RequestRefusedError: StopApplication" in body
    assert "emr-pipelines" in body
    assert attributes == {"pipeline": "-", "job": ["-"], "state": "SWEPT", "severity": "WARNING"}


def test_notify_says_what_is_wrong_once_when_a_pipeline_file_is_rejected(invoke: Invoke, topic: FakeTopic) -> None:
    for _ in range(2):
        invoke("notify", "pipeline_file_rejected")

    ((subject, body, attributes),) = topic.sent
    assert subject == "pipelines/salaries.yaml was not registered: line 2: jobs: Input should be a valid list"
    assert body.startswith(
        "What is wrong\n  line 2: jobs: Input should be a valid list\n  application: is missing\n\nFile "
    )
    assert attributes == {"pipeline": "salaries", "job": ["-"], "state": "REJECTED", "severity": "ERROR"}


def test_notify_says_why_and_what_was_sent_when_a_message_cannot_start_a_run(invoke: Invoke, topic: FakeTopic) -> None:
    for _ in range(2):
        invoke("notify", "trigger_rejected")

    ((subject, body, attributes),) = topic.sent
    assert subject == 'salary was not started: There is no pipeline "salary". Registered pipelines: salaries.'
    assert body.startswith('Why\n  There is no pipeline "salary".')
    assert "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324" in body
    assert attributes["pipeline"] == "salary"


@pytest.mark.usefixtures("submitted")
class TestRuns:
    """What happens to a run that was recorded."""

    def test_notify_sends_one_notification_when_an_event_comes_twice(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic
    ) -> None:
        record.end_run(RUN_ID, "FAILED", "JobFailedError", "Job process: ExitCode: 1.")
        for _ in range(2):
            invoke("notify", "pipeline_run_failed")

        ((subject, _, attributes),) = topic.sent
        assert subject == "salaries failed: Job process: ExitCode: 1."
        assert (attributes["pipeline"], attributes["state"]) == ("salaries", "FAILED")

    def test_notify_is_silent_when_the_pipeline_does_not_ask_for_this_end(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic
    ) -> None:
        plan_again(record, notify_on=["FAILED"])
        record.end_run(RUN_ID, "SUCCEEDED", None, None)
        invoke("notify", "pipeline_run_succeeded")

        assert topic.sent == []

    def test_notify_shows_how_the_log_of_the_failed_job_ends_when_emr_has_written_it(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic, submitted: Job, s3: Any
    ) -> None:
        s3.put_object(Bucket="bucket", Key=f"{LOGS}/stderr.gz", Body=gzip.compress(b"ValueError: no number\n" * 99))
        s3.put_object(Bucket="bucket", Key=f"{LOGS}/stdout.gz", Body=b"this is not gzip")
        record.record_state(submitted, "FAILED", NOON, state_details="ExitCode: 1.", attempts=1)
        record.end_run(RUN_ID, "FAILED", "JobFailedError", "Job process: ExitCode: 1.")
        invoke("notify", "pipeline_run_failed")

        assert topic.sent[0][1].count("  | ValueError: no number\n") == 15

    def test_notify_says_where_the_log_will_be_when_emr_has_not_written_it(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic, submitted: Job, s3: Any
    ) -> None:
        record.record_state(submitted, "FAILED", NOON, state_details="ExitCode: 1.", attempts=1)
        record.end_run(RUN_ID, "FAILED", "JobFailedError", "Job process: ExitCode: 1.")
        invoke("notify", "pipeline_run_failed")

        assert f"could not be read yet. It will be shown by\n  emrp logs {RUN_ID} process\n" in topic.sent[0][1]

    @pytest.mark.parametrize(
        ("event", "occasion", "subject"),
        [
            ("pipeline_run_started", "STARTED", "salaries started: upload s3://"),
            ("pipeline_run_overdue", "OVERDUE", "salaries has run for "),
            ("job_run_retried", "RETRIED", "salaries retries process: ExitCode: 1."),
        ],
    )
    def test_notify_tells_what_happens_meanwhile_when_the_pipeline_asks_for_it(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic, s3: Any, event: str, occasion: str, subject: str
    ) -> None:
        plan_again(record, notify_on=["FAILED"])
        invoke("notify", event)
        assert topic.sent == []

        plan_again(record, notify_on=[occasion], expected_minutes=30)
        again = example_event(f"notify.{event}")
        again["detail"]["id"] += "/again"
        invoke("notify", again)

        ((told, _, attributes),) = topic.sent
        assert told.startswith(subject)
        assert attributes["state"] == occasion

    def test_notify_does_not_call_a_run_late_when_it_has_ended_meanwhile(
        self, invoke: Invoke, record: RunRecord, topic: FakeTopic
    ) -> None:
        record.end_run(RUN_ID, "SUCCEEDED", None, None)
        invoke("notify", "pipeline_run_overdue")

        assert topic.sent == []

    def test_late_runs_and_retries_are_told_but_no_starts_when_the_file_says_nothing(self) -> None:
        assert "STARTED" not in NOTIFIED
        assert {"OVERDUE", "RETRIED"} <= set(NOTIFIED)


class TestTopics:
    """A notification goes to the topics of the pipeline file, too."""

    @pytest.fixture(autouse=True)
    def failed(self, submitted: Job, record: RunRecord) -> None:
        plan_again(record, notify_topics=["emr-pipelines-notify-a", "emr-pipelines-notify-b"])
        record.end_run(RUN_ID, "FAILED", "JobFailedError", "Job process: ExitCode: 1.")

    def test_notify_publishes_to_each_topic_when_the_pipeline_file_names_some(
        self, invoke: Invoke, topic: FakeTopic
    ) -> None:
        invoke("notify", "pipeline_run_failed")

        assert topic.topics == [None, "emr-pipelines-notify-a", "emr-pipelines-notify-b"]

    @pytest.mark.parametrize(
        "failure", [TransientError("throttled"), RequestRefusedError("Publish", "NotFound", "no such topic")]
    )
    def test_notify_publishes_once_to_each_topic_when_it_is_repeated_after_one_failed(
        self, invoke: Invoke, topic: FakeTopic, failure: Exception
    ) -> None:
        topic.failures["emr-pipelines-notify-a"] = failure
        for _ in range(2):
            with pytest.raises(type(failure)):
                invoke("notify", "pipeline_run_failed")
        topic.failures.clear()
        invoke("notify", "pipeline_run_failed")

        assert sorted(topic.topics, key=str) == [None, "emr-pipelines-notify-a", "emr-pipelines-notify-b"]


@pytest.mark.usefixtures("submitted")
class TestBursts:
    """The first failures of a pipeline are told at once, the others together when the window closes."""

    @pytest.fixture
    def fail(self, invoke: Invoke, record: RunRecord) -> Callable[[str], None]:
        run = record.get_run(RUN_ID)
        assert run is not None

        def fail(run_id: str, pipeline: str = run.pipeline) -> None:
            record.create_run(replace(run, run_id=run_id, pipeline=pipeline, notify_topics=["emr-pipelines-notify-a"]))
            record.end_run(run_id, "FAILED", "JobFailedError", f"Job process: {run_id} broke")
            invoke("notify", failure(run_id))

        return fail

    def test_notify_summarises_the_others_when_many_runs_fail(
        self, fail: Callable[[str], None], invoke: Invoke, topic: FakeTopic, clock: Clock, held: HeldNotifications
    ) -> None:
        for number in range(8):
            fail(f"run-{number}")
        at_once = [subject for subject, _, _ in topic.sent[::2]]
        assert at_once == [f"salaries failed: Job process: run-{number} broke" for number in range(3)]
        assert held.list_due() == []

        clock.minutes = 15
        event = collected_event(held)
        for _ in range(2):
            invoke("notify", event)

        (subject, body, attributes), (_, again, _) = topic.sent[6:]
        assert subject == "salaries: 5 more notifications of state FAILED"
        assert all(f"- run-{number}: Job process: run-{number} broke" in body for number in range(3, 8))
        assert again == body
        assert topic.topics[6:] == [None, "emr-pipelines-notify-a"]
        assert (attributes["state"], attributes["severity"]) == ("FAILED", "ERROR")
        assert held.list_due() == []

    def test_notify_tells_at_once_again_when_the_window_has_closed(
        self, fail: Callable[[str], None], topic: FakeTopic, clock: Clock
    ) -> None:
        for number in range(4):
            fail(f"run-{number}")
        clock.minutes = 15
        fail("run-4")

        assert topic.sent[-1][0] == "salaries failed: Job process: run-4 broke"

    def test_notify_tells_at_once_when_another_pipeline_has_a_burst(
        self, fail: Callable[..., None], topic: FakeTopic, clock: Clock
    ) -> None:
        for number in range(4):
            fail(f"run-{number}")
        fail("other-1", pipeline="other")

        assert topic.sent[-1][0] == "other failed: Job process: other-1 broke"

    def test_held_notification_is_kept_when_it_came_after_the_summary_was_made(
        self, clock: Clock, held: HeldNotifications
    ) -> None:
        left = {"line": "l", "jobs": [], "topics": []}
        held.hold("p", "FAILED", "a", clock.now(), left)
        items = held.list_held("p", "FAILED")
        held.hold("p", "FAILED", "b", clock.now(), left)
        held.forget(items)

        assert len(held.list_held("p", "FAILED")) == 1

    def test_event_is_admitted_again_when_it_is_repeated_in_the_window(
        self, clock: Clock, held: HeldNotifications
    ) -> None:
        asked = ["a", "a", "b", "c", "b", "d", "a"]
        answers = [held.admit("p", "FAILED", event, 2, timedelta(minutes=1)) is None for event in asked]

        assert answers == [True, True, True, False, True, False, True]


@pytest.fixture
def queue(aws: None) -> Callable[..., Callable[[], list[Any]]]:
    """Subscribe a queue to the topic of the stack; returns how its messages are received."""
    sns, sqs = client("sns"), client("sqs")
    arn = sns.create_topic(Name="topic")["TopicArn"]

    def subscribe(name: str, policy: object, **attributes: str) -> Callable[[], list[Any]]:
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        wanted = {"FilterPolicy": json.dumps(policy)} if policy else {}
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes={**wanted, **attributes})
        return lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])

    return subscribe


def test_publish_gives_programs_the_document_when_they_subscribe(
    queue: Callable[..., Callable[[], list[Any]]],
) -> None:
    receive = queue("all", None)
    topic = NotificationTopic("arn:aws:sns:us-east-1:123456789012:topic", "emr-pipelines")
    topic.publish("It failed", "Why", '{"version": "1.0"}', {"pipeline": "salaries", "job": ["a", "b"]})

    (message,) = receive()
    envelope = json.loads(message["Body"])
    assert (envelope["Subject"], json.loads(envelope["Message"])) == ("It failed", {"version": "1.0"})
    assert envelope["MessageAttributes"]["job"] == {"Type": "String.Array", "Value": '["a", "b"]'}


def test_refusal_says_which_topics_can_be_published_to_when_a_file_names_others(aws: None) -> None:
    arn = client("sns").create_topic(Name="emr-pipelines-notify-sales")["TopicArn"]
    topic = NotificationTopic(arn.replace("emr-pipelines-notify-sales", "topic"), "emr-pipelines")

    assert topic.refusal("emr-pipelines-notify-sales") is None
    assert topic.refusal("sales") == "must begin with emr-pipelines-notify-: this stack may publish to no other topics"
    assert topic.refusal("emr-pipelines-notify-gone") == "there is no such topic in this account and region (NotFound)"


DOCUMENTED = [
    json.loads(policy.replace("\\", ""))
    for policy in re.findall(
        r"""(?:"FilterPolicy": "|--attribute-value ')(\{.*?\})["']""", (ROOT / "docs/notifications.md").read_text()
    )
]
HEARD: dict[str, dict[str, str | list[str]]] = {
    "failed": {"pipeline": "sales", "job": ["load", "report"], "state": "FAILED", "severity": "ERROR"},
    "retried": {"pipeline": "import", "job": ["load"], "state": "RETRIED", "severity": "WARNING"},
    "ended": {"pipeline": "sales-eu", "job": ["load"], "state": "SUCCEEDED", "severity": "INFO"},
    "cancelled": {"pipeline": "sales-eu", "job": ["load"], "state": "CANCELLED", "severity": "WARNING"},
    "file": {"pipeline": "-", "job": ["-"], "state": "REJECTED", "severity": "ERROR"},
}


@pytest.mark.parametrize(
    ("policy", "heard"),
    list(
        zip(
            DOCUMENTED,
            [["failed", "file"], ["failed", "retried"], ["failed", "ended"], ["failed"], ["cancelled"]],
            strict=True,
        )
    ),
    ids=str,
)
def test_documented_filter_lets_through_what_the_page_says_when_it_is_subscribed(
    queue: Callable[..., Callable[[], list[Any]]], policy: dict[str, Any], heard: list[str]
) -> None:
    receive = queue("some", policy, RawMessageDelivery="true")
    topic = NotificationTopic("arn:aws:sns:us-east-1:123456789012:topic", "emr-pipelines")
    for name, attributes in HEARD.items():
        topic.publish(name, "text", json.dumps(name), attributes)

    assert sorted(json.loads(message["Body"]) for message in receive()) == sorted(heard)
