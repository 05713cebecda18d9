"""What the gateways of EMR on EC2 and of its stacks ask of AWS, and how they read the answers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2, job_state

from tests.unit.pipeline_files import planned
from tests.unit.test_cluster_files import file_of, step

SINCE, NOON = "2026-11-21T12:00:00.000000Z", datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG_AGO = "2020-01-01T00:00:00.000000Z"
ROLE = "arn:aws:iam::123456789012:role/template"
TEMPLATE = "Resources: {}"


@pytest.fixture
def gateway(aws: None) -> EmrOnEc2:
    """The gateway to moto's EMR."""
    return EmrOnEc2()


@pytest.fixture
def stubbed(gateway: EmrOnEc2) -> Iterator[Stubber]:
    """The answers of an EMR that has moto's and other states."""
    with Stubber(gateway._emr) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def request() -> dict[str, Any]:
    """Return the RunJobFlow request of a run."""
    run, _ = planned(file_of(step("a")))
    return {**run.cluster, "Instances": {**run.cluster["Instances"], "TerminationProtected": True}}


def described_step(state: str, **status: Any) -> dict[str, Any]:
    timeline = {"CreationDateTime": NOON, "StartDateTime": NOON.replace(minute=1)}
    if state not in {"PENDING", "RUNNING", "CANCEL_PENDING"}:
        timeline["EndDateTime"] = NOON.replace(minute=2)
    return {"Step": {"Id": "s-1", "Name": "a", "Status": {"State": state, "Timeline": timeline, **status}}}


class TestClusters:
    """Clusters are found by their tags, and end although they are protected."""

    def test_cluster_is_found_by_its_tags_when_it_was_started(self, gateway: EmrOnEc2) -> None:
        assert gateway.find_cluster(request(), LONG_AGO) is None
        cluster_id = gateway.run_job_flow(request())
        other = [{"Key": "emr-pipelines:run", "Value": "another"}]

        assert gateway.find_cluster(request(), LONG_AGO) == cluster_id
        assert gateway.find_cluster({**request(), "Tags": other}, LONG_AGO) is None
        cluster = gateway.get_cluster(cluster_id)
        assert (cluster.is_ready, cluster.is_gone, cluster.protected) == (True, False, True)
        assert cluster.tags["emr-pipelines:run"] == "r"
        assert cluster.log_uri == "s3://bucket/logs/"

    def test_cluster_ends_when_it_is_terminated_although_it_is_protected(self, gateway: EmrOnEc2) -> None:
        cluster_id = gateway.run_job_flow(request())
        assert gateway.list_clusters() == [cluster_id]

        gateway.terminate_cluster(cluster_id)
        gateway.terminate_cluster(cluster_id)

        assert gateway.get_cluster(cluster_id).is_gone
        assert gateway.list_clusters() == []

    def test_cluster_says_why_it_has_ended_when_emr_tells(self, gateway: EmrOnEc2, stubbed: Stubber) -> None:
        status = {
            "State": "TERMINATED_WITH_ERRORS",
            "StateChangeReason": {"Code": "BOOTSTRAP_FAILURE", "Message": "bootstrap action 1 failed"},
            "ErrorDetails": [{"ErrorCode": "BOOTSTRAP_FAILURE_BA", "ErrorMessage": "the script returned 1"}],
            "Timeline": {"CreationDateTime": NOON},
        }
        answer = {"Cluster": {"Id": "j-1", "Status": status, "LogUri": "s3n://logs/"}}
        stubbed.add_response("describe_cluster", answer, {"ClusterId": "j-1"})

        cluster = gateway.get_cluster("j-1")

        assert cluster.details == "BOOTSTRAP_FAILURE: bootstrap action 1 failed the script returned 1"
        assert (cluster.log_uri, cluster.tags) == ("s3://logs/", {})

    def test_cluster_is_missing_when_emr_calls_its_id_not_valid(self, gateway: EmrOnEc2, stubbed: Stubber) -> None:
        stubbed.add_client_error("describe_cluster", "InvalidRequestException", "Cluster id 'j-1' is not valid.")

        with pytest.raises(ResourceMissingError):
            gateway.get_cluster("j-1")


class TestSteps:
    """A step is added once, and its states are those of a job run."""

    def test_step_is_added_once_when_it_is_asked_for_twice(self, gateway: EmrOnEc2) -> None:
        cluster_id = gateway.run_job_flow(request())
        _, (job, other) = planned(file_of(step("a"), step("b")))

        step_id = gateway.start_job_run(cluster_id, job.request, "", LONG_AGO)

        assert gateway.start_job_run(cluster_id, job.request, "", LONG_AGO) == step_id
        assert gateway.start_job_run(cluster_id, other.request, "", LONG_AGO) != step_id
        assert gateway.find_job_run(cluster_id, job.request, LONG_AGO) == step_id
        assert gateway.find_job_run(cluster_id, job.request, "2999-01-01T00:00:00.000000Z") is None

    @pytest.mark.parametrize(
        ("state", "status", "ours", "details"),
        [
            ("PENDING", {}, "PENDING", None),
            ("RUNNING", {}, "RUNNING", None),
            ("CANCEL_PENDING", {}, "CANCELLING", None),
            ("COMPLETED", {}, "SUCCESS", None),
            ("CANCELLED", {"StateChangeReason": {"Message": "Cancelled by user"}}, "CANCELLED", None),
            ("FAILED", {"FailureDetails": {"Reason": "Unknown Error."}}, "FAILED", "Unknown Error."),
            ("INTERRUPTED", {"StateChangeReason": {"Message": "gone"}}, "FAILED", "INTERRUPTED: gone"),
            ("INTERRUPTED", {}, "FAILED", "INTERRUPTED"),
        ],
    )
    def test_step_has_the_state_of_a_job_run_when_it_is_read(
        self, gateway: EmrOnEc2, stubbed: Stubber, state: str, status: dict[str, Any], ours: str, details: str | None
    ) -> None:
        stubbed.add_response("describe_step", described_step(state, **status))

        observed = gateway.get_job_run("j-1", "s-1")

        assert (observed.state, observed.state_details) == (ours, details)
        is_final = ours in {"SUCCESS", "CANCELLED", "FAILED"}
        assert observed.observed_at == f"2026-11-21T12:0{2 if is_final else 1}:00.000000Z"
        assert gateway.list_attempts(observed)[0]["state"] == ours

    def test_state_stays_itself_when_nobody_has_heard_of_it(self) -> None:
        assert job_state("PAUSED") == "PAUSED"

    def test_cancellation_is_refused_when_the_step_has_ended(self, gateway: EmrOnEc2, stubbed: Stubber) -> None:
        info = [{"StepId": "s-1", "Status": "FAILED", "Reason": "It has ended."}]
        stubbed.add_response("cancel_steps", {"CancelStepsInfoList": info}, {"ClusterId": "j-1", "StepIds": ["s-1"]})

        with pytest.raises(RequestRefusedError, match=r"It has ended\."):
            gateway.cancel_job_run("j-1", "s-1")

    def test_step_is_added_later_when_the_cluster_has_as_many_as_it_takes(self, gateway: EmrOnEc2) -> None:
        _, (job,) = planned(file_of(step("a")))
        with Stubber(gateway._emr) as looking, Stubber(gateway._emr_once) as adding:
            looking.add_response("list_steps", {"Steps": []})
            adding.add_client_error(
                "add_job_flow_steps", "ValidationException", "Maximum number of active steps for cluster exceeded."
            )

            with pytest.raises(TransientError):
                gateway.start_job_run("j-1", job.request, "", SINCE)

    @pytest.mark.parametrize("operation", ["run_job_flow", "add_job_flow_steps"])
    def test_request_is_sent_once_when_the_answer_is_lost(
        self, gateway: EmrOnEc2, monkeypatch: pytest.MonkeyPatch, operation: str
    ) -> None:
        sent = []

        def fail(**named: Any) -> None:
            sent.append(named["request"])
            raise EndpointConnectionError(endpoint_url="https://elasticmapreduce")

        client = gateway._emr_once
        client.meta.events.register_first("before-send.emr.*", fail)
        arguments = {
            "run_job_flow": request(),
            "add_job_flow_steps": {"JobFlowId": "j-1", "Steps": []},
        }[operation]

        try:
            with pytest.raises(EndpointConnectionError):
                getattr(client, operation)(**arguments)
        finally:
            client.meta.events.unregister("before-send.emr.*", fail)

        assert len(sent) == 1


class TestResize:
    """Parts of a cluster are resized by their names."""

    def test_group_is_modified_by_its_name_when_there_is_one(self, gateway: EmrOnEc2) -> None:
        cluster_id = gateway.run_job_flow(request())
        change = {"InstanceGroupName": "CORE", "InstanceGroups": [{"InstanceCount": 5}]}

        assert gateway.start_job_run(cluster_id, change, "", SINCE) is None

        (group,) = boto3.client("emr").list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
        assert group["RequestedInstanceCount"] == 5

    def test_fleet_is_modified_by_its_name_when_there_is_one(self, gateway: EmrOnEc2, stubbed: Stubber) -> None:
        fleets = {"InstanceFleets": [{"Id": "if-1", "Name": "MASTER"}, {"Id": "if-2", "Name": "CORE"}]}
        stubbed.add_response("list_instance_fleets", fleets, {"ClusterId": "j-1"})
        changed = {"InstanceFleetId": "if-2", "TargetOnDemandCapacity": 8}
        stubbed.add_response("modify_instance_fleet", {}, {"ClusterId": "j-1", "InstanceFleet": changed})

        request = {"InstanceFleetName": "CORE", "InstanceFleet": {"TargetOnDemandCapacity": 8}}
        assert gateway.start_job_run("j-1", request, "", SINCE) is None

    def test_request_is_refused_when_nothing_has_the_name(self, gateway: EmrOnEc2) -> None:
        cluster_id = gateway.run_job_flow(request())
        change = {"InstanceGroupName": "TASK", "InstanceGroups": [{"InstanceCount": 5}]}

        with pytest.raises(RequestRefusedError, match="no instance group TASK; it has CORE"):
            gateway.start_job_run(cluster_id, change, "", SINCE)


class TestStacks:
    """A template's stack is made once, in the role that it was given for that."""

    @pytest.fixture
    def stacks(self, s3: Any) -> ClusterStacks:
        s3.put_object(Bucket="bucket", Key="cluster.yaml", Body=TEMPLATE)
        return ClusterStacks(ROLE)

    @pytest.fixture
    def made(self, stacks: ClusterStacks) -> Iterator[Stubber]:
        """CloudFormation, of which the test says how it answers."""
        with Stubber(stacks._cloudformation) as stubber:
            yield stubber
            stubber.assert_no_pending_responses()

    def wanted(self, parameters: Any) -> dict[str, Any]:
        tags = [{"Key": "emr-pipelines:run", "Value": "r"}]
        return {"template": "s3://bucket/cluster.yaml", "parameters": parameters, "StackName": "x-run-1", "Tags": tags}

    def expect(self, made: Stubber, nodes: str) -> None:
        asked = {
            "StackName": "x-run-1",
            "TemplateBody": TEMPLATE,
            "Parameters": [{"ParameterKey": "Nodes", "ParameterValue": nodes}],
            "Tags": [{"Key": "emr-pipelines:run", "Value": "r"}],
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            "RoleARN": ROLE,
            "OnFailure": "DO_NOTHING",
        }
        made.add_response("create_stack", {"StackId": "id"}, asked)

    def test_stack_is_made_once_when_it_is_asked_for_twice(self, stacks: ClusterStacks, made: Stubber) -> None:
        self.expect(made, "4")
        made.add_client_error("create_stack", "AlreadyExistsException", "Stack [x-run-1] already exists")

        stacks.create(self.wanted({"Nodes": 4}))
        stacks.create(self.wanted({"Nodes": 4}))

    def test_stack_has_its_outputs_when_it_is_there_and_is_none_when_it_is_gone(
        self, stacks: ClusterStacks, made: Stubber
    ) -> None:
        output = {"OutputKey": "ClusterId", "OutputValue": "j-1"}
        described = {
            "StackName": "x-run-1", "CreationTime": NOON, "StackStatus": "CREATE_COMPLETE", "Outputs": [output]
        }  # fmt: skip
        made.add_response("describe_stacks", {"Stacks": [described]}, {"StackName": "x-run-1"})
        made.add_client_error("describe_stacks", "ValidationError", "Stack with id x-run-1 does not exist")

        stack = stacks.get("x-run-1")
        assert stack
        assert (stack.status, stack.outputs) == ("CREATE_COMPLETE", {"ClusterId": "j-1"})
        assert stacks.get("x-run-1") is None

    def test_stacks_of_runs_are_listed_when_they_are_there(self, stacks: ClusterStacks, made: Stubber) -> None:
        tags = [{"Key": "emr-pipelines:run", "Value": "r"}]
        described = [
            {"StackName": "a", "CreationTime": NOON, "StackStatus": "CREATE_FAILED", "Tags": tags},
            {"StackName": "b", "CreationTime": NOON, "StackStatus": "DELETE_IN_PROGRESS", "Tags": tags},
            {"StackName": "c", "CreationTime": NOON, "StackStatus": "CREATE_COMPLETE"},
        ]
        made.add_response("describe_stacks", {"Stacks": described})

        (stack,) = stacks.list_of_runs()
        assert (stack.name, stack.tags, stack.created_at) == ("a", {"emr-pipelines:run": "r"}, SINCE)

    @pytest.mark.parametrize(
        "document",
        [
            '[{"ParameterKey": "Nodes", "ParameterValue": "7"}]',
            '{"Parameters": {"Nodes": "7"}}',
            '{"Nodes": "7"}',
        ],
    )
    def test_parameters_are_read_from_a_file_when_they_are_in_one(
        self, stacks: ClusterStacks, made: Stubber, s3: Any, document: str
    ) -> None:
        s3.put_object(Bucket="bucket", Key="cluster.json", Body=document)
        self.expect(made, "7")

        stacks.create(self.wanted("s3://bucket/cluster.json"))

    @pytest.mark.parametrize("document", [b"no JSON", b"[1]", b"7", b"\xff"])
    def test_parameters_are_refused_when_the_file_has_none(
        self, stacks: ClusterStacks, s3: Any, document: bytes
    ) -> None:
        s3.put_object(Bucket="bucket", Key="cluster.json", Body=document)

        with pytest.raises(RequestRefusedError, match=r"s3://bucket/cluster\.json is no"):
            stacks.create(self.wanted("s3://bucket/cluster.json"))

    @pytest.mark.parametrize(("given", "text"), [([1, "a"], "1,a"), (True, "true"), (2.5, "2.5")])
    def test_parameter_is_written_as_cloudformation_takes_it(
        self, stacks: ClusterStacks, made: Stubber, given: Any, text: str
    ) -> None:
        self.expect(made, text)

        stacks.create(self.wanted({"Nodes": given}))

    def test_stack_is_refused_when_there_is_no_role_for_it(self, stacks: ClusterStacks) -> None:
        with pytest.raises(RequestRefusedError, match="ClusterTemplateRoleArn"):
            ClusterStacks().create(self.wanted({}))

    def test_first_failure_is_told_when_one_has_led_to_others(self, stacks: ClusterStacks) -> None:
        with Stubber(stacks._cloudformation) as stubber:
            failures = [("Other", "Resource creation cancelled"), ("Cluster", "The subnet does not exist")]
            events = [
                {
                    "StackId": "id",
                    "EventId": name,
                    "StackName": "x-run-1",
                    "Timestamp": NOON,
                    "LogicalResourceId": name,
                    "ResourceStatus": "CREATE_FAILED",
                    "ResourceStatusReason": reason,
                }
                for name, reason in failures
            ]
            stubber.add_response("describe_stack_events", {"StackEvents": events})

            assert stacks.first_failure("x-run-1") == "Cluster: The subnet does not exist"

    def test_error_is_not_taken_for_a_missing_stack_when_it_is_another(self, stacks: ClusterStacks) -> None:
        with Stubber(stacks._cloudformation) as stubber:
            stubber.add_client_error("describe_stacks", "AccessDenied", "not authorized")

            with pytest.raises(RequestRefusedError, match="not authorized"):
                stacks.get("x-run-1")
