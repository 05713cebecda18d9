"""However events come, again and late, and whenever it is swept: each failure is named in exactly one mail."""

from collections import Counter
from datetime import datetime, timedelta
from unittest import mock

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import TransientError
from emr_pipelines.gateways import held_notifications
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.log_tails import LogTails
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notification import Notification
from emr_pipelines.notify import Burst, notify
from emr_pipelines.run import Job, Run
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulation.memory_table import MemoryTable

NOON = "2026-11-21T12:00:00.000000Z"
BURST = Burst(2, timedelta(minutes=10))


class Runs(RunRecord):
    """Every run has failed."""

    def __init__(self) -> None:
        pass

    def get_run(self, run_id: str) -> Run:
        arn = f"arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:{run_id}"
        return Run(run_id=run_id, pipeline="p", execution_arn=arn, started_at=NOON, ended_at=NOON, state="FAILED")

    def list_jobs(self, run_id: str) -> list[Job]:
        return []


class Function:
    """`notify`, with what Powertools does around it: an event or a delivery that was finished is not done again."""

    def __init__(self) -> None:
        self.minutes = 0
        self.finished: set[str] = set()
        self.mails: list[Notification] = []
        self.fails = False
        with mock.patch.object(held_notifications, "Table", return_value=MemoryTable()):
            self.held = HeldNotifications("runs")

    def now(self) -> str:
        return iso_time(datetime.fromisoformat(NOON) + timedelta(minutes=self.minutes))

    def receive(self, detail_type: str, detail: dict[str, str]) -> None:
        if detail["id"] in self.finished:
            return
        try:
            notify(
                detail_type, {"stack": "s", **detail},
                record=Runs(), held=self.held, logs=LogTails(), publish=self._publish, burst=BURST,
            )  # fmt: skip
        except TransientError:
            self.fails = False
            self.receive(detail_type, detail)  # Lambda tries again
        self.finished.add(detail["id"])

    def sweep(self) -> None:
        for due in self.held.list_due():
            collected = {"id": f"{due.first}/COLLECTED", "pipeline": due.pipeline, "state": due.state}
            for _ in range(2):
                self.receive("Notifications Collected", collected)

    def _publish(self, delivery_id: str, notification: Notification, topic: str | None) -> None:
        assert topic is None
        if delivery_id in self.finished:
            return
        if self.fails:
            raise TransientError("throttled")
        self.mails.append(notification)
        self.finished.add(delivery_id)


steps = st.lists(
    st.one_of(
        st.integers(0, 15).map(lambda run: ("fail", run)),
        st.integers(1, 12).map(lambda minutes: ("wait", minutes)),
        st.just(("sweep", 0)),
        st.just(("throttle", 0)),
    ),
    max_size=60,
)


@settings(max_examples=100)
@given(steps)
def test_each_failure_is_named_once_when_events_come_in_any_order(steps: list[tuple[str, int]]) -> None:
    function, failed = Function(), set()
    with mock.patch.object(held_notifications, "now", function.now):
        for what, number in steps:
            match what:
                case "fail":
                    run = f"run-{number:02}"
                    failed.add(run)
                    function.receive("Pipeline Run Failed", {"id": f"{run}/FAILED", "run": run})
                case "wait":
                    function.minutes += number
                case "sweep":
                    function.sweep()
                case _:
                    function.fails = True
        function.minutes += 10
        function.sweep()

        named = Counter(run for mail in function.mails for run in failed if run in mail.body)
        assert named == Counter(failed)
        assert function.held.list_due() == []
