"""The rules of the template: one verb phrase throughout, nothing public, nothing lost."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.cloud import (
    DOMAIN,
    FUNCTIONS,
    ROOT,
    Properties,
    all_states,
    as_list,
    example_events,
    function_folder,
    function_folders,
    lambda_functions,
    pascal_case,
    resources,
    state_machines,
    statements,
    template,
)

LOGICAL_IDS = sorted(lambda_functions())
# Read by Powertools itself, wherever a function uses it.
READ_BY_POWERTOOLS = {"POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"}

# Two states of one machine cannot have the same name; this one cleans up after some jobs, not after the run.
NAMESAKES = {"Clean Up Jobs": "Clean Up"}

# The event sources that SAM makes rules of.
RULES = {"EventBridgeRule", "Schedule"}


def environment(properties: Properties) -> set[str]:
    """Return the names of the environment variables of a function alone."""
    return set(properties.get("Environment", {}).get("Variables", {}))


def read_from_environment(source: str) -> set[str]:
    """Return every name in `os.environ["name"]`."""
    return {
        str(node.slice.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and ast.unparse(node.value) == "os.environ"
    }


class TestVerbPhrase:
    """A function has the same name everywhere."""

    def test_every_folder_is_a_function_when_deployed(self) -> None:
        folders = {function_folder(properties) for properties in lambda_functions().values()}

        assert folders == set(function_folders())

    @pytest.mark.parametrize("name", LOGICAL_IDS)
    def test_function_has_one_name_when_looked_for(self, name: str) -> None:
        folder = function_folder(lambda_functions()[name])

        assert name == f"{pascal_case(folder)}Function"
        assert lambda_functions()[name]["Handler"] == f"{folder}.app.handler"
        assert (DOMAIN / f"{folder}.py").is_file()
        assert (ROOT / "tests" / "unit" / f"test_{folder}.py").is_file()
        assert [path for path in example_events() if path.name.startswith(f"{folder}.")]

    @pytest.mark.parametrize("machine", sorted(state_machines()))
    def test_state_has_the_name_of_its_function_when_it_calls_one(self, machine: str) -> None:
        for title, state in all_states(state_machines()[machine]).items():
            if "lambda:invoke" in state.get("Resource", ""):
                function = NAMESAKES.get(title, title)
                assert state["Arguments"]["FunctionName"] == f"${{{pascal_case(function)}FunctionArn}}"

    def test_substitution_is_the_function_of_its_name_when_deployed(self) -> None:
        for properties in resources("AWS::Serverless::StateMachine").values():
            for name, value in properties["DefinitionSubstitutions"].items():
                if name.endswith("FunctionArn"):
                    assert value == {"Fn::GetAtt": [name.removesuffix("Arn"), "Arn"]}


class TestFunctions:
    """What every function has."""

    @pytest.mark.parametrize("name", LOGICAL_IDS)
    def test_function_logs_into_a_group_of_its_own_when_it_runs(self, name: str) -> None:
        folder = function_folder(lambda_functions()[name])
        logging = lambda_functions()[name]["LoggingConfig"]
        group = resources("AWS::Logs::LogGroup")[logging["LogGroup"]["Ref"]]

        assert logging["LogFormat"] == "JSON"
        assert group["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}/{folder}"}

    def test_log_group_forgets_when_its_time_is_over(self) -> None:
        for group in resources("AWS::Logs::LogGroup").values():
            assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    @pytest.mark.parametrize("name", LOGICAL_IDS)
    def test_environment_is_what_the_handler_reads_when_imported(self, name: str) -> None:
        source = (FUNCTIONS / function_folder(lambda_functions()[name]) / "app.py").read_text()
        for_all = environment(template()["Globals"]["Function"])

        assert environment(lambda_functions()[name]) == read_from_environment(source) - for_all

    def test_environment_for_all_is_read_when_set(self) -> None:
        read = {name for path in FUNCTIONS.glob("*/app.py") for name in read_from_environment(path.read_text())}

        assert environment(template()["Globals"]["Function"]) <= read | READ_BY_POWERTOOLS

    def test_domain_reads_no_environment_when_used_by_the_command_line(self) -> None:
        assert not [path.name for path in DOMAIN.rglob("*.py") if re.search("os.environ|getenv", path.read_text())]


class TestAsynchronousEdges:
    """Nothing that travels on its own gets lost."""

    def event_sources(self) -> Iterator[tuple[str, Properties]]:
        for name, properties in lambda_functions().items():
            for source in properties.get("Events", {}).values():
                yield name, source

    def test_event_is_kept_when_its_target_cannot_be_reached(self) -> None:
        targets = [source["Properties"] for _, source in self.event_sources() if source["Type"] in RULES]
        for rule in resources("AWS::Events::Rule").values():
            targets += rule["Targets"]

        assert len(targets) == 9
        for target in targets:
            assert target["RetryPolicy"].keys() == {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"}
            assert target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0] in resources("AWS::SQS::Queue")

    def test_event_is_kept_when_a_function_fails_with_it(self) -> None:
        called = {name for name, source in self.event_sources() if source["Type"] in RULES}
        called |= {permission["FunctionName"]["Ref"] for permission in resources("AWS::Lambda::Permission").values()}

        called |= {
            custom["ServiceToken"]["Fn::GetAtt"][0] for custom in resources("Custom::ReleaseApplications").values()
        }

        assert len(called) == 6
        for name in called:
            invocation = lambda_functions()[name]["EventInvokeConfig"]
            assert invocation["MaximumRetryAttempts"] > 0
            assert invocation["DestinationConfig"]["OnFailure"]["Type"] == "SQS"

    def test_message_comes_back_alone_when_its_batch_fails_in_part(self) -> None:
        queues = {}
        for name, source in self.event_sources():
            if source["Type"] == "SQS":
                queues[source["Properties"]["Queue"]["Fn::GetAtt"][0]] = name
                assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

        for queue, name in queues.items():
            properties = resources("AWS::SQS::Queue")[queue]
            timeout = lambda_functions()[name].get("Timeout", template()["Globals"]["Function"]["Timeout"])
            assert properties["VisibilityTimeout"] >= 6 * timeout  # Lambda's advice
            assert properties["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0].endswith("DeadLetterQueue")

    def test_dead_letter_is_kept_and_raises_an_alarm_when_it_comes(self) -> None:
        queues = {name for name in resources("AWS::SQS::Queue") if name.endswith("DeadLetterQueue")}
        watched = {
            alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]: alarm
            for alarm in resources("AWS::CloudWatch::Alarm").values()
            if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        }

        assert watched.keys() == queues
        for queue, alarm in watched.items():
            assert resources("AWS::SQS::Queue")[queue]["MessageRetentionPeriod"] == 14 * 24 * 3600
            assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
            assert alarm["AlarmActions"] == [{"Ref": "NotificationTopic"}]

    def test_rejected_trigger_is_kept_but_raises_no_alarm_when_people_are_told_of_it_anyway(self) -> None:
        rejected = resources("AWS::SQS::Queue")["RejectedTriggerQueue"]

        assert rejected["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert "reject" not in str(resources("AWS::CloudWatch::Alarm")).lower()

    def test_rule_and_topic_reach_their_queues_by_their_arns_when_they_send(self) -> None:
        """It is what the documentation of EventBridge's dead letters and of SNS has in the policies of queues."""
        senders: dict[tuple[str, str], list[Any]] = {}
        for policy in resources("AWS::SQS::QueuePolicy").values():
            (queue,) = policy["Queues"]
            for statement in statements(policy):
                ((operator, condition),) = statement["Condition"].items()
                assert operator in {"ArnEquals", "ArnLike"}
                assert condition.keys() == {"aws:SourceArn"}
                assert statement["Resource"] == {"Fn::GetAtt": [queue["Ref"], "Arn"]}
                sender = (queue["Ref"], statement["Principal"]["Service"].partition(".")[0])
                assert sender not in senders
                senders[sender] = as_list(condition["aws:SourceArn"])

        rule = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule"
        topic = [{"Ref": "TriggerTopic"}]
        assert senders == {
            ("TriggerQueue", "events"): [
                {"Fn::GetAtt": ["UploadRule", "Arn"]},
                {"Fn::Sub": f"{rule}/${{AWS::StackName}}.*"},
            ],
            ("TriggerQueue", "sns"): topic,
            ("TriggerDeadLetterQueue", "sns"): topic,
            ("EventDeadLetterQueue", "events"): [{"Fn::Sub": f"{rule}/*"}],
        }


class TestData:
    """What is stored is private, and stays."""

    @pytest.mark.parametrize("name", resources("AWS::S3::Bucket"))
    def test_bucket_is_private_and_kept_when_the_stack_goes(self, name: str) -> None:
        bucket = resources("AWS::S3::Bucket")[name]
        policies = [p for p in resources("AWS::S3::BucketPolicy").values() if p["Bucket"] == {"Ref": name}]

        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert {template()["Resources"][name][key] for key in ("DeletionPolicy", "UpdateReplacePolicy")} == {"Retain"}
        (denied,) = [statement for policy in policies for statement in statements(policy)]
        assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    def test_table_can_be_restored_when_data_was_lost(self) -> None:
        for table in resources("AWS::DynamoDB::Table").values():
            assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    @pytest.mark.parametrize("name", resources("AWS::SQS::Queue"))
    def test_queue_is_encrypted_when_it_holds_messages(self, name: str) -> None:
        assert resources("AWS::SQS::Queue")[name]["SqsManagedSseEnabled"] is True


class TestParametersAndOutputs:
    """What people see when they deploy."""

    @pytest.mark.parametrize("name", template()["Parameters"])
    def test_parameter_is_described_and_bounded_when_asked_for(self, name: str) -> None:
        parameter = template()["Parameters"][name]

        assert parameter["Description"]
        assert "Default" in parameter
        assert parameter.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}

    def test_parameter_is_in_a_group_when_the_console_asks(self) -> None:
        groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

        assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template()["Parameters"])

    def test_output_is_described_when_shown(self) -> None:
        assert all(output["Description"] for output in template()["Outputs"].values())
