"""A function may do what it can come to call, and nothing else."""

import re

import pytest

from tests.contract.call_graph import actions_of
from tests.contract.cloud import (
    FUNCTIONS,
    TEMPLATE_FILE,
    Properties,
    all_states,
    as_list,
    function_folder,
    lambda_functions,
    resources,
    state_machines,
    statements,
    template,
)

# What AWS asks for besides the operation itself.
IMPLIED = {
    "cloudformation:CreateStack": {"cloudformation:TagResource", "iam:PassRole"},
    "elasticmapreduce:RunJobFlow": {"elasticmapreduce:AddTags", "iam:CreateServiceLinkedRole", "iam:PassRole"},
    "emr-serverless:CreateApplication": {
        "ec2:CreateNetworkInterface",
        "emr-serverless:TagResource",
        "iam:CreateServiceLinkedRole",
    },
    # An application in a VPC: EMR Serverless User Guide, "User access policy examples".
    "emr-serverless:StartApplication": {"ec2:CreateNetworkInterface"},
    "emr-serverless:StartJobRun": {"emr-serverless:TagResource", "iam:PassRole"},
    "emr-serverless:UpdateApplication": {"ec2:CreateNetworkInterface"},
    "scheduler:CreateSchedule": {"iam:PassRole"},
}
# They tell people that an object is missing, which S3 calls forbidden when one may not list the bucket.
TELL_WHAT_IS_MISSING = {"add_job_run", "launch_application", "register_pipeline"}
# https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/#required-resources
IDEMPOTENCY = {f"dynamodb:{operation}Item" for operation in ("Delete", "Get", "Put", "Update")}


def granted(policy: object) -> set[str]:
    """Return every action that the statements below a value allow."""
    return {
        action
        for statement in statements(policy)
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }


def needed(folder: str) -> set[str]:
    """Return every action that a function needs."""
    actions = actions_of(folder)
    for operation in tuple(actions):
        actions |= IMPLIED.get(operation, set())
    if "DynamoDBPersistenceLayer(" in (FUNCTIONS / folder / "app.py").read_text():
        actions |= IDEMPOTENCY
    if folder in TELL_WHAT_IS_MISSING:
        actions |= {"s3:ListBucket"}
    return actions


@pytest.mark.parametrize("name", sorted(lambda_functions()))
def test_function_is_allowed_what_it_calls_and_no_more_when_deployed(name: str) -> None:
    properties = lambda_functions()[name]

    assert granted(properties["Policies"]) == needed(function_folder(properties))


def test_call_graph_sees_what_a_function_calls_when_it_is_hidden_well() -> None:
    """Guards the test above: by name, through a method in between, from a constant, from a paginator, in a set."""
    assert actions_of("start_pipeline") >= {"dynamodb:Query", "sqs:SendMessage", "states:StartExecution"}
    assert actions_of("register_pipeline") >= {"s3:ListBucket", "scheduler:CreateSchedule"}
    assert actions_of("handle_state_change") >= {
        "dynamodb:Query",
        "emr-serverless:DeleteApplication",
        "events:PutEvents",
        "states:SendTaskHeartbeat",
    }
    # A field of a set of gateways, one of the set that it extends, and what a method of it returns.
    assert actions_of("clean_up") >= {"cloudformation:DeleteStack", "events:PutEvents", "states:DescribeExecution"}
    assert actions_of("check_status") >= {"elasticmapreduce:CancelSteps", "emr-serverless:CancelJobRun"}
    assert not actions_of("check_status") & {"elasticmapreduce:AddJobFlowSteps", "emr-serverless:StartJobRun"}


@pytest.mark.parametrize("machine", sorted(state_machines()))
def test_state_machine_may_call_its_functions_and_no_others_when_deployed(machine: str) -> None:
    (role,) = resources("AWS::Serverless::StateMachine")[machine]["Role"]["Fn::GetAtt"][:1]
    called = {
        state["Arguments"]["FunctionName"][2:-1].removesuffix("Arn")
        for state in all_states(state_machines()[machine]).values()
        if "lambda:invoke" in state.get("Resource", "")
    }
    invoked = {
        resource["Fn::GetAtt"][0]
        for statement in statements(resources("AWS::IAM::Role")[role]["Policies"])
        if statement["Action"] == "lambda:InvokeFunction"
        for resource in statement["Resource"]
    }

    assert invoked == called


class TestPolicies:
    """Exact actions on exact resources."""

    def allowed(self) -> list[Properties]:
        return [statement for statement in statements(template()["Resources"]) if statement["Effect"] == "Allow"]

    def test_action_is_exact_when_allowed(self) -> None:
        actions = [action for statement in self.allowed() for action in as_list(statement["Action"])]

        assert len(actions) > 50
        assert not [action for action in actions if "*" in action]

    def test_resource_has_a_comment_that_says_why_when_it_is_everything(self) -> None:
        lines = [
            line for line in TEMPLATE_FILE.read_text().splitlines() if re.search(r"""Resource: ["']\*["']""", line)
        ]

        assert [line for line in lines if not re.search(r"# \w+", line)] == []
        assert bool(lines) == any(statement.get("Resource") == "*" for statement in self.allowed())

    def test_application_is_used_but_never_changed_when_it_may_be_somebody_elses(self) -> None:
        for statement in self.allowed():
            if "Condition" in statement or "emr-serverless:" not in str(statement["Action"]):
                continue
            verbs = "|".join(action.partition(":")[2] for action in as_list(statement["Action"]))
            assert not re.search("Create|Update|Stop|Delete", verbs)

    @pytest.mark.parametrize(
        ("role", "service"), [("JobRole", "emr-serverless.amazonaws.com"), ("ScheduleRole", "scheduler.amazonaws.com")]
    )
    def test_role_goes_to_its_service_only_when_passed(self, role: str, service: str) -> None:
        passing = [statement for statement in self.allowed() if "iam:PassRole" in as_list(statement["Action"])]
        (of_role,) = [statement for statement in passing if statement["Resource"] == {"Fn::GetAtt": [role, "Arn"]}]

        assert len(passing) == 5
        assert of_role["Action"] == "iam:PassRole"
        assert of_role["Condition"] == {"StringEquals": {"iam:PassedToService": service}}

    def test_roles_of_clusters_go_to_their_services_only_when_passed(self) -> None:
        passing = [statement for statement in self.allowed() if "iam:PassRole" in as_list(statement["Action"])]
        services = {
            str(statement["Resource"]): statement["Condition"]["StringEquals"]["iam:PassedToService"]
            for statement in passing
        }

        role = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role"
        assert services[str({"Fn::Sub": f"{role}/${{ClusterServiceRole}}"})] == "elasticmapreduce.amazonaws.com"
        assert services[str({"Fn::Sub": f"{role}/${{ClusterInstanceProfile}}"})] == "ec2.amazonaws.com"
        assert services[str({"Ref": "ClusterTemplateRoleArn"})] == "cloudformation.amazonaws.com"

    def test_cluster_is_terminated_only_with_our_tag_when_it_may_be_somebody_elses(self) -> None:
        ending = [s for s in self.allowed() if "elasticmapreduce:TerminateJobFlows" in as_list(s["Action"])]

        assert len(ending) == 4
        for statement in ending:
            assert statement["Condition"] == {
                "StringEquals": {"aws:ResourceTag/emr-pipelines:stack": {"Ref": "AWS::StackName"}}
            }

    def test_object_is_called_missing_and_not_forbidden_when_it_is_not_there(self) -> None:
        listing = [s for s in self.allowed() if "s3:ListBucket" in as_list(s["Action"])]

        assert len(listing) == 4  # those that tell what is missing, and the jobs
        for statement in listing:
            assert statement["Resource"] == {"Fn::GetAtt": ["Bucket", "Arn"]}
            assert "Condition" not in statement

    def test_network_interface_is_made_by_emr_serverless_only_when_an_application_is_in_a_vpc(self) -> None:
        making = [s for s in self.allowed() if "ec2:CreateNetworkInterface" in as_list(s["Action"])]

        assert len(making) == 2
        for statement in making:
            assert statement["Condition"] == {"StringEquals": {"aws:CalledViaLast": "ops.emr-serverless.amazonaws.com"}}
            kinds = {resource["Fn::Sub"].rpartition(":")[2] for resource in statement["Resource"]}
            assert kinds == {"network-interface/*", "security-group/*", "subnet/*"}

    def test_service_acts_for_this_account_only_when_it_assumes_a_role(self) -> None:
        for statement in self.allowed():
            if statement["Action"] == "sts:AssumeRole":
                assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
