"""The cluster of a run is started once, waited for without polling, and never left behind when it fails."""

from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.errors import ClusterUnavailableError, RequestRefusedError, TransientError
from emr_pipelines.gateways.cluster_stacks import ObservedStack
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import CANCELLED, Run

from tests.unit.fakes import FakeStepFunctions
from tests.unit.fakes_emr_on_ec2 import FakeEmrOnEc2, FakeStacks
from tests.unit.pipeline_files import planned
from tests.unit.test_cluster_files import file_of, step

RUN_ID = "clustered-1"
EVENT = {"runId": RUN_ID, "taskToken": "token"}
STACK_NAME = "emr-pipelines-run-8f4c1d2e3a5b6c7d"  # as in the example event
Invoke = Callable[..., Any]


def recorded(record: RunRecord, cluster: dict[str, Any] | None = None, **changes: Any) -> Run:
    """Record a planned run with a cluster."""
    run, jobs = planned(file_of(step("preprocess"), cluster=cluster), run_id=RUN_ID)
    run = record.create_run(run)
    record.save_plan(run, jobs)
    for name, value in changes.items():
        record._table.update({"pk": f"RUN#{RUN_ID}", "sk": "RUN"}, {name: value})
    return record.get_run(RUN_ID) or run


def from_template(record: RunRecord) -> Run:
    """Record a planned run whose cluster has a template, under the name of the example event's stack."""
    recorded(record, {"template": "s3://bucket/cluster.yaml"})
    run = record.get_run(RUN_ID)
    assert run
    run.cluster["StackName"] = STACK_NAME
    record.save_plan(run, [])
    return run


class TestRunJobFlow:
    """A cluster that EMR starts for the run."""

    def test_token_is_answered_by_the_event_when_the_cluster_is_ready(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
    ) -> None:
        recorded(record)
        clusters.set_cluster("j-2A7KQ3WEGAPLF", "STARTING", tags={"emr-pipelines:run": "another"})
        clusters.find_cluster = lambda *_: "j-2A7KQ3WEGAPLF"  # type: ignore[method-assign]
        invoke("launch_application", EVENT)
        assert step_functions.answers == []

        clusters.set_cluster("j-2A7KQ3WEGAPLF", "WAITING")
        invoke("handle_state_change", "cluster_waiting")
        invoke("handle_state_change", "cluster_waiting")

        assert step_functions.outcomes == [("token", "success")]
        run = record.get_run(RUN_ID)
        assert run
        assert (run.application_id, run.log_uri) == ("j-2A7KQ3WEGAPLF", "s3://bucket/logs/")

    def test_token_is_answered_at_once_when_the_event_came_before_it(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
    ) -> None:
        recorded(record, application_id="j-1")
        clusters.set_cluster("j-1", "RUNNING")

        invoke("launch_application", EVENT)

        assert step_functions.outcomes == [("token", "success")]
        assert clusters.asked("run_job_flow") == []

    def test_one_cluster_is_started_when_the_function_is_killed_before_it_notes_the_first(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorded(record)
        with monkeypatch.context() as patch:
            patch.setattr(record, "set_application_id", lambda *_: pytest.fail("killed"))
            with pytest.raises(pytest.fail.Exception, match="killed"):
                invoke("launch_application", EVENT)

        invoke("launch_application", EVENT)

        assert list(clusters.clusters) == ["j-1"]
        assert record.get_runs([RUN_ID])[RUN_ID].application_id == "j-1"

    def test_run_fails_with_the_reason_when_a_bootstrap_action_fails(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
    ) -> None:
        recorded(record, application_id="j-2A7KQ3WEGAPLF")
        clusters.set_cluster("j-2A7KQ3WEGAPLF", "BOOTSTRAPPING")
        invoke("launch_application", EVENT)

        details = "BOOTSTRAP_FAILURE: bootstrap action 1 returned a non-zero return code"
        clusters.set_cluster("j-2A7KQ3WEGAPLF", "TERMINATED_WITH_ERRORS", details=details)
        invoke("handle_state_change", "cluster_terminated_with_errors")

        cause = f"Cluster j-2A7KQ3WEGAPLF is TERMINATED_WITH_ERRORS. {details}"
        assert step_functions.answers == [("token", "ClusterUnavailableError", cause)]

    def test_run_fails_when_emr_refuses_the_request(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        recorded(record)
        clusters.failures["run_job_flow"] = RequestRefusedError("RunJobFlow", "ValidationException", "no such subnet")

        with pytest.raises(ClusterUnavailableError, match="no such subnet"):
            invoke("launch_application", EVENT)

    def test_request_is_made_again_later_when_emr_throttles(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        recorded(record)
        clusters.failures["run_job_flow"] = TransientError("Rate exceeded")

        with pytest.raises(TransientError):
            invoke("launch_application", EVENT)

    def test_cluster_is_terminated_when_the_run_ended_while_it_was_started(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
    ) -> None:
        recorded(record)
        record.end_run(RUN_ID, CANCELLED, None, None)

        invoke("launch_application", EVENT)

        assert clusters.clusters["j-1"].state == "TERMINATING"
        assert step_functions.answers == []

    def test_existing_cluster_is_neither_started_nor_terminated_when_the_run_has_ended(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        recorded(record, {"lifecycle": "existing", "clusterId": "j-9"})
        clusters.set_cluster("j-9", "WAITING")
        record.end_run(RUN_ID, CANCELLED, None, None)

        invoke("launch_application", EVENT)

        assert clusters.clusters["j-9"].state == "WAITING"
        assert clusters.asked("run_job_flow") == []


class TestTemplate:
    """A cluster in a stack that CloudFormation makes for the run."""

    def test_token_is_answered_when_stack_and_cluster_are_ready(
        self,
        invoke: Invoke,
        record: RunRecord,
        clusters: FakeEmrOnEc2,
        stacks: FakeStacks,
        step_functions: FakeStepFunctions,
    ) -> None:
        from_template(record)
        invoke("launch_application", EVENT)
        assert ([stack["StackName"] for stack in stacks.created], step_functions.answers) == ([STACK_NAME], [])

        stacks.stacks[STACK_NAME] = ObservedStack(STACK_NAME, "CREATE_COMPLETE", "", {"Id": "j-2A7KQ3WEGAPLF"})
        clusters.set_cluster("j-2A7KQ3WEGAPLF", "STARTING")
        invoke("handle_state_change", "cluster_stack_complete")
        assert step_functions.answers == []

        clusters.set_cluster("j-2A7KQ3WEGAPLF", "WAITING")
        invoke("handle_state_change", "cluster_waiting")
        invoke("handle_state_change", "cluster_stack_complete")

        assert step_functions.outcomes == [("token", "success")]
        run = record.get_run(RUN_ID)
        assert run
        assert run.application_id == "j-2A7KQ3WEGAPLF"

    @pytest.mark.parametrize(
        ("stack", "reason", "cause"),
        [
            (ObservedStack(STACK_NAME, "CREATE_FAILED", "failed: [Cluster]"), "Cluster: no such subnet", "subnet"),
            (ObservedStack(STACK_NAME, "CREATE_FAILED", "failed: [Cluster]"), None, "failed: [Cluster]"),
            (ObservedStack(STACK_NAME, "CREATE_COMPLETE", "", {"Bucket": "j-"}), None, "no output with the id"),
            (None, None, "was deleted while the run waited"),
        ],
    )
    def test_run_fails_with_the_reason_when_the_stack_has_no_cluster(
        self,
        invoke: Invoke,
        record: RunRecord,
        stacks: FakeStacks,
        step_functions: FakeStepFunctions,
        stack: ObservedStack | None,
        reason: str | None,
        cause: str,
    ) -> None:
        from_template(record)
        invoke("launch_application", EVENT)
        stacks.stacks = {STACK_NAME: stack} if stack else {}
        stacks.reason = reason

        invoke("handle_state_change", "cluster_stack_complete")

        ((token, error, told),) = step_functions.answers
        assert (token, error) == ("token", "ClusterUnavailableError")
        assert cause in told

    def test_run_fails_when_cloudformation_refuses_the_template(
        self, invoke: Invoke, record: RunRecord, stacks: FakeStacks
    ) -> None:
        from_template(record)
        stacks.failure = RequestRefusedError("CreateStack", "ValidationError", "Template format error")

        with pytest.raises(ClusterUnavailableError, match="Template format error"):
            invoke("launch_application", EVENT)

    def test_stack_is_deleted_when_the_run_ended_while_it_was_made(
        self, invoke: Invoke, record: RunRecord, stacks: FakeStacks
    ) -> None:
        from_template(record)
        record.end_run(RUN_ID, CANCELLED, None, None)

        invoke("launch_application", EVENT)

        assert stacks.deleted == [STACK_NAME]


@pytest.mark.parametrize("name", ["cluster_waiting", "cluster_stack_complete", "step_completed"])
def test_event_is_ignored_when_it_is_about_nothing_of_ours(
    name: str, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
) -> None:
    invoke("handle_state_change", name)

    assert (clusters.requests, step_functions.answers) == ([], [])
