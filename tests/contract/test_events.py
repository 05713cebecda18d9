"""The rules let through exactly the events that the functions understand, and events/ has one example of each."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from emr_pipelines import handle_state_change
from emr_pipelines.domain_event import pipeline_run_ended
from emr_pipelines.gateways.domain_events import SOURCE
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT, Run
from moto.events.models import EventPattern

from tests.contract.cloud import (
    ACCOUNT,
    REGION,
    ROOT,
    example_event,
    example_events,
    function_folders,
    lambda_functions,
    resources,
    statements,
    template,
)

Event = dict[str, Any]
# What the references in the patterns stand for in the examples.
REFERENCES = {
    "AWS::StackName": "emr-pipelines",
    "Bucket": "bucket",
    "JobGroupStateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:emr-pipelines-job-group",
    "JobRunStateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:emr-pipelines-job-run",
    "PipelineStateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:emr-pipelines-pipeline",
}


def resolved(pattern: Any) -> Any:
    """Return a pattern as it is after deployment."""
    match pattern:
        case {"Ref": name}:
            return REFERENCES[name]
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{(.*?)\}", lambda found: REFERENCES[found[1]], text)
        case dict():
            return {key: resolved(value) for key, value in pattern.items()}
        case list():
            return [resolved(value) for value in pattern]
    return pattern


def patterns() -> Iterator[tuple[str, Event]]:
    """Yield every event pattern of the template with what it leads to."""
    for name, rule in resources("AWS::Events::Rule").items():
        yield name, resolved(rule["EventPattern"])
    for name, properties in lambda_functions().items():
        for source in properties.get("Events", {}).values():
            if source["Type"] == "EventBridgeRule":
                yield name, resolved(source["Properties"]["Pattern"])


def matches(pattern: Event, event: Event) -> bool:
    """Tell whether an event matches a pattern."""
    matched: bool = EventPattern.load(json.dumps(pattern)).matches_event(event)
    return matched


def object_created(key: str) -> Event:
    """Return what S3 sends for a new object in the bucket of the stack."""
    event: Event = json.loads(example_event("start_pipeline.s3_object_created")["Records"][0]["body"])
    event["detail"]["object"]["key"] = key
    return event


def receivers(event: Event) -> set[str]:
    """Return the rules and functions to which an event gets, to each of them once."""
    names = [name for name, pattern in patterns() if matches(pattern, event)]
    assert len(names) == len(set(names))
    return set(names)


@cache
def words_of(test: Path) -> frozenset[object]:
    """Return every constant in a test."""
    return frozenset(node.value for node in ast.walk(ast.parse(test.read_text())) if isinstance(node, ast.Constant))


class TestExamples:
    """events/ holds what the functions really receive."""

    @pytest.mark.parametrize("path", example_events(), ids=lambda path: path.stem)
    def test_example_is_used_by_a_test_when_it_is_there(self, path: Path) -> None:
        tests = (words_of(test) for test in (ROOT / "tests" / "unit").glob("*.py"))

        assert any(path.stem in words or words.issuperset(path.stem.split(".")) for words in tests)

    @pytest.mark.parametrize("path", example_events(), ids=lambda path: path.stem)
    def test_example_is_for_a_function_and_not_of_a_real_account_when_shown_to_the_world(self, path: Path) -> None:
        assert path.stem.split(".")[0] in function_folders()
        assert json.loads(path.read_text())
        assert ACCOUNT in path.read_text() or "arn:" not in path.read_text()

    @pytest.mark.parametrize("path", example_events(), ids=lambda path: path.stem)
    def test_example_gets_through_one_rule_when_it_is_an_event(self, path: Path) -> None:
        event = json.loads(path.read_text())
        receiver = {
            "clean_up": "ExecutionEndedRule",
            "handle_state_change": "HandleStateChangeFunction",
            "notify": "NotifyFunction",
            "register_pipeline": "RegisterPipelineFunction",
        }
        if "detail-type" in event:
            assert receivers(event) == {receiver[path.stem.split(".")[0]]}


class TestUploads:
    """An upload reaches the trigger queue, and what a run itself writes does not."""

    @pytest.mark.parametrize(
        "key", ["landing/salaries/2026-11.csv", "anything.csv", "incoming/jobs/list.csv", "outputs/x.csv", "logs.csv"]
    )
    def test_upload_is_let_through_when_it_may_start_a_run(self, key: str) -> None:
        assert receivers(object_created(key)) == {"UploadRule"}

    @pytest.mark.parametrize(
        "key",
        [
            "jobs/process.py",
            "logs/applications/app1/jobs/run1/SPARK_DRIVER/stdout.gz",
            "output/salaries/salaries-1/part-00000.csv",
            "pipelines/salaries.yaml.errors",
        ],
    )
    def test_upload_is_stopped_when_a_run_or_a_deployment_wrote_it(self, key: str) -> None:
        assert receivers(object_created(key)) == set()

    def test_upload_is_stopped_when_it_is_none_of_ours(self) -> None:
        event = object_created("landing/salaries/2026-11.csv")

        assert receivers({**event, "detail-type": "Object Deleted"}) == set()
        assert receivers({**event, "source": "aws.s3.other"}) == set()
        event["detail"]["bucket"]["name"] = "somebody-elses"
        assert receivers(event) == set()


class TestPipelineFiles:
    """A pipeline file reaches its registration whether it comes or goes, and nothing else below pipelines/ does."""

    @pytest.mark.parametrize("key", ["pipelines/a.yaml", "pipelines/a.yml", "pipelines/a.json", "pipelines/a/b.yaml"])
    @pytest.mark.parametrize("happened", ["Object Created", "Object Deleted"])
    def test_file_is_registered_when_it_comes_or_goes(self, key: str, happened: str) -> None:
        assert receivers({**object_created(key), "detail-type": happened}) == {"RegisterPipelineFunction"}

    @pytest.mark.parametrize("key", ["pipelines/a.yaml.errors", "pipelines/README.md", "landing/pipelines/a.yaml"])
    def test_file_is_not_registered_when_it_is_no_pipeline(self, key: str) -> None:
        assert "RegisterPipelineFunction" not in receivers(object_created(key))


class TestStateChanges:
    """EMR's events reach the function that knows them."""

    def test_rule_lets_through_every_type_that_the_function_knows_when_deployed(self) -> None:
        known = {
            handle_state_change.APPLICATION_STATE_CHANGE,
            handle_state_change.JOB_RUN_RETRY,
            handle_state_change.JOB_RUN_STATE_CHANGE,
            handle_state_change.JOB_UTILIZATION_UPDATE,
            handle_state_change.CLUSTER_STATE_CHANGE,
            handle_state_change.STEP_STATUS_CHANGE,
            handle_state_change.STACK_STATUS_CHANGE,
        }

        let_through = [pattern["detail-type"] for name, pattern in patterns() if name == "HandleStateChangeFunction"]
        assert {kind for kinds in let_through for kind in kinds} == known

    def test_stack_is_none_of_ours_when_no_run_has_it(self) -> None:
        event = example_event("handle_state_change.cluster_stack_complete")
        event["detail"]["stack-id"] = event["detail"]["stack-id"].replace("emr-pipelines-run-", "emr-pipelines-")

        assert receivers(event) == set()

    def test_event_is_stopped_when_it_only_looks_like_emrs(self) -> None:
        event = example_event("handle_state_change.job_run_succeeded")

        assert receivers({**event, "source": "my.emr-serverless"}) == set()
        assert receivers({**event, "source": "aws.emr"}) == set()
        assert receivers({**event, "detail-type": "EMR Job Run State Change"}) == set()


class TestExecutionEnds:
    """An execution that cannot clean up after itself is cleaned up after."""

    @pytest.mark.parametrize("status", ["ABORTED", "FAILED", "TIMED_OUT"])
    def test_end_is_let_through_when_it_may_have_left_something_behind(self, status: str) -> None:
        event = example_event("clean_up.execution_aborted")
        event["detail"]["status"] = status

        assert receivers(event) == {"ExecutionEndedRule"}

    @pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "PENDING_REDRIVE"])
    def test_status_is_stopped_when_there_is_nothing_to_do(self, status: str) -> None:
        event = example_event("clean_up.execution_aborted")
        event["detail"]["status"] = status

        assert receivers(event) == set()

    @pytest.mark.parametrize("name", ["others-job-run", "emr-pipelines-pipeline-of-others"])
    def test_end_is_stopped_when_it_is_of_another_state_machine(self, name: str) -> None:
        event = example_event("clean_up.execution_aborted")
        event["detail"]["stateMachineArn"] = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}"

        assert receivers(event) == set()


class TestDomainEvents:
    """Our own events are published as ours, and reach `notify`."""

    @pytest.mark.parametrize("state", [SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, SKIPPED])
    def test_end_of_a_run_reaches_notify_when_it_is_published(self, state: str) -> None:
        run = Run(
            run_id="salaries-1",
            pipeline="salaries",
            execution_arn=f"arn:aws:states:{REGION}:{ACCOUNT}:execution:emr-pipelines-pipeline:salaries-1",
            started_at="2026-11-20T14:00:00Z",
            state=state,
        )
        published = pipeline_run_ended(run, [])

        detail = {"stack": "emr-pipelines", **published.detail}
        event = {"source": SOURCE, "detail-type": published.detail_type, "detail": detail}
        assert receivers(event) == {"NotifyFunction"}
        assert receivers({**event, "detail": {**detail, "stack": "another-stack"}}) == set()

    @pytest.mark.parametrize(("wanted", "receiver"), [(["STARTED", "FAILED"], {"NotifyFunction"}), (["FAILED"], set())])
    def test_start_of_a_run_reaches_notify_when_its_pipeline_asks_for_it(
        self, wanted: list[str], receiver: set[str]
    ) -> None:
        event = example_event("notify.pipeline_run_started")
        event["detail"]["notifyOn"] = wanted

        assert receivers(event) == receiver

    def test_policy_allows_the_source_when_it_is_ours(self) -> None:
        publishing = [s for s in statements(template()["Resources"]) if s.get("Action") == "events:PutEvents"]

        assert publishing
        for statement in publishing:
            assert statement["Condition"] == {"StringEquals": {"events:source": SOURCE}}
