"""What people watch: metrics that exist, alarms that say what to do, a dashboard that opens, logs to search in."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from emr_pipelines import measures

from tests.contract.cloud import (
    FUNCTIONS,
    ROOT,
    Properties,
    all_states,
    function_folder,
    function_folders,
    lambda_functions,
    resources,
    state_machines,
    template,
)

OURS = "EmrPipelines"
ALARMS = resources("AWS::CloudWatch::Alarm")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
# What AWS documents: https://docs.aws.amazon.com/ ... of each service, "CloudWatch metrics".
METRICS_OF_AWS = {
    # AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    # sns/latest/dg/sns-monitoring-using-cloudwatch.html
    "AWS/SNS": {"NumberOfNotificationsFailed"},
    # lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {"Errors", "Throttles"},
    # step-functions/latest/dg/procedure-cw-metrics.html
    "AWS/States": {"ThrottledEvents"},
    # amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": {"ReadThrottleEvents", "WriteThrottleEvents"},
    # emr/latest/EMR-Serverless-UserGuide/monitoring-usage.html
    "AWS/Usage": {"ResourceCount"},
    # emr/latest/EMR-Serverless-UserGuide/app-job-metrics.html
    "AWS/EMRServerless": {"CPUAllocated", "MemoryAllocated"},
}


def emitted() -> set[str]:
    """Return the name of every metric that the functions write into their logs."""
    by_handlers = {
        name
        for folder in function_folders()
        for name in re.findall(r'add_metric\("(\w+)"', (FUNCTIONS / folder / "app.py").read_text())
    }
    source = (FUNCTIONS / "emr_pipelines" / "measures.py").read_text()
    return by_handlers | set(re.findall(r'"((?:Job|Run)s?[A-Z]\w+)"', source)) | set(measures.COUNTS.values())


def substituted(text: str) -> str:
    """Return a text of Fn::Sub with every `${name}` replaced by what could stand there."""
    return re.sub(r"\$\{([\w:.]+)\}", r"value-of-\1", text)


def dashboard() -> Any:
    """Return the widgets as CloudWatch gets them."""
    (properties,) = resources("AWS::CloudWatch::Dashboard").values()
    return json.loads(substituted(properties["DashboardBody"]["Fn::Sub"]))


def metrics_of_dashboard() -> Iterator[tuple[str, str]]:
    """Yield namespace and name of every metric, with the dots of the dashboard's shorthand resolved."""
    for widget in dashboard()["widgets"]:
        before: list[Any] = []
        for metric in widget["properties"]["metrics"]:
            fields = [field for field in metric if not isinstance(field, dict)]
            if fields[:1] == ["..."]:
                fields = before[: -len(fields[1:])] + fields[1:] if fields[1:] else before
            fields = [before[place] if field == "." else field for place, field in enumerate(fields)]
            if fields:
                yield fields[0], fields[1]
                before = fields
            for expression in [
                part["expression"] for part in metric if isinstance(part, dict) and "expression" in part
            ]:
                search = re.search(r"\{([\w/]+),[\w,]+\} MetricName=\"(\w+)\"", expression)
                if search:
                    yield search[1], search[2]
                else:
                    assert expression == "SERVICE_QUOTA(used)"


def metrics_of_alarms() -> Iterator[tuple[str, str]]:
    """Yield namespace and name of every metric that an alarm looks at."""
    for alarm in ALARMS.values():
        queries = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
        yield from ((metric["Namespace"], metric["MetricName"]) for metric in queries or [alarm])


@pytest.mark.parametrize(("namespace", "name"), sorted({*metrics_of_dashboard(), *metrics_of_alarms()}))
def test_metric_exists_when_it_is_watched(namespace: str, name: str) -> None:
    assert name in (emitted() if namespace == OURS else METRICS_OF_AWS[namespace])


def test_metric_is_documented_and_on_the_dashboard_when_it_is_ours() -> None:
    shown = {name for namespace, name in metrics_of_dashboard() if namespace == OURS}

    assert len(shown) > 15
    assert emitted() == shown
    assert [name for name in sorted(emitted()) if f"`{name}`" not in OPERATIONS] == []


def test_dashboard_has_widgets_that_do_not_overlap_when_it_is_opened() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard()["widgets"]:
        x, y, width, height = (widget[name] for name in ("x", "y", "width", "height"))
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert x + width <= 24
        assert not cells & taken
        taken |= cells


def test_dashboard_names_what_exists_when_it_substitutes() -> None:
    (properties,) = resources("AWS::CloudWatch::Dashboard").values()
    names = set(re.findall(r"\$\{([\w:]+)[\w.]*\}", properties["DashboardBody"]["Fn::Sub"]))

    assert {name for name in names if not name.startswith("AWS::")} <= template()["Resources"].keys()
    assert {name for name in names if name.endswith("Function")} == lambda_functions().keys()


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_says_what_it_means_and_what_to_do_when_it_rings(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \| (.+) \| (.+) \|$", OPERATIONS, re.MULTILINE)

    assert all(len(cell) > 20 for cell in row)
    assert ALARMS[name]["AlarmDescription"]
    assert ALARMS[name]["AlarmActions"] == [{"Ref": "NotificationTopic"}]
    assert ALARMS[name]["TreatMissingData"] in {"notBreaching", "ignore"}  # an idle stack is a healthy one


def test_alarm_exists_when_it_is_documented() -> None:
    assert set(re.findall(r"^\| `(\w+Alarm)` \|", OPERATIONS, re.MULTILINE)) == ALARMS.keys()


def test_alarm_math_returns_one_series_when_it_has_expressions() -> None:
    for alarm in ALARMS.values():
        queries: list[Properties] = alarm.get("Metrics", [])
        returned = [query for query in queries if query.get("ReturnData", True)]
        assert bool(queries) == ("MetricName" not in alarm)
        assert not queries or [set(query) >= {"Id", "Expression"} for query in returned] == [True]
        for query in queries:
            for used in re.findall(r"\b(?<!_)([a-z]\w*)\b", query.get("Expression", "")):
                assert used in {other["Id"] for other in queries}


@pytest.mark.parametrize("name", resources("AWS::Logs::QueryDefinition"))
def test_query_reads_logs_that_exist_when_it_is_opened(name: str) -> None:
    query = resources("AWS::Logs::QueryDefinition")[name]
    groups = {group["Ref"] for group in query["LogGroupNames"]}
    of_functions = {properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in lambda_functions().values()}

    assert groups <= resources("AWS::Logs::LogGroup").keys()
    assert len(groups) == 1 or groups >= of_functions
    assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")
    assert f"{query['Name']['Fn::Sub'].partition('/')[2]}" in OPERATIONS
    assert re.match(r"(fields|filter) ", query["QueryString"])


def test_traces_are_on_and_allowed_when_deployed() -> None:
    assert template()["Globals"]["Function"]["Tracing"] == "Active"  # SAM gives the functions the permission
    for properties in resources("AWS::Serverless::StateMachine").values():
        assert properties["Tracing"] == {"Enabled": True}
        (role,) = properties["Role"]["Fn::GetAtt"][:1]
        assert "xray:PutTraceSegments" in str(resources("AWS::IAM::Role")[role]["Policies"])


def test_log_lines_have_the_run_when_a_state_machine_calls_a_function() -> None:
    called = {
        state["Arguments"]["FunctionName"][2:-1].removesuffix("Arn")
        for machine in state_machines().values()
        for state in all_states(machine).values()
        if "runId" in state.get("Arguments", {}).get("Payload", {})
    }

    assert called
    for name in called:
        source = (FUNCTIONS / function_folder(lambda_functions()[name]) / "app.py").read_text()
        assert re.search(r"\n    logger\.append_keys\(run=", source), name
