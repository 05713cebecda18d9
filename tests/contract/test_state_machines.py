"""The rules that both state machines keep, as properties of their files."""

import json
import re
from collections.abc import Iterator
from typing import Any

import emr_pipelines.errors
import pytest
from emr_pipelines.errors import EmrPipelinesError

from tests.contract.cloud import all_states, resources, state_machines, template

Definition = dict[str, Any]
MACHINES = sorted(state_machines())
LAMBDA_NOISE = {  # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
}
OVERLOAD = {"TransientError", "Lambda.TooManyRequestsException"}
NESTED_NOISE = {
    "StepFunctions.AWSStepFunctionsException",
    "StepFunctions.ExecutionLimitExceeded",
    "StepFunctions.SdkClientException",
    "StepFunctions.ThrottlingException",
}
ANY_OVERLOAD = OVERLOAD | NESTED_NOISE
STARTS_EXECUTION = "arn:${Partition}:states:::states:startExecution.sync:2"
DAY = 24 * 3600


def states(machine: str, *types: str) -> list[tuple[str, Definition]]:
    """Return the states of some types, or all, with their names."""
    found = all_states(state_machines()[machine]).items()
    return [(name, state) for name, state in found if not types or state["Type"] in types]


def every_state(*types: str) -> pytest.MarkDecorator:
    """Run a test for each state of some types of each machine."""
    cases = [(machine, name) for machine in MACHINES for name, _ in states(machine, *types)]
    return pytest.mark.parametrize(("machine", "name"), cases)


def state(machine: str, name: str) -> Definition:
    """Return a state."""
    return dict(states(machine))[name]


def placeholders(machine: str) -> set[str]:
    """Return the name of every `${...}` in a definition."""
    return set(re.findall(r"\$\{([^}]*)\}", str(state_machines()[machine])))


def substitutions(machine: str) -> dict[str, Any]:
    """Return what the template supplies."""
    supplied: dict[str, Any] = resources("AWS::Serverless::StateMachine")[machine]["DefinitionSubstitutions"]
    return supplied


def heartbeat_parameter(machine: str, task: Definition) -> Definition:
    """Return the template parameter from which the heartbeat of a task comes."""
    (placeholder,) = re.findall(r"\$\{([^}]*)\}", task["HeartbeatSeconds"])
    parameter: Definition = template()["Parameters"][substitutions(machine)[placeholder]["Ref"]]
    return parameter


def longest_seconds(task: Definition) -> int:
    """Return the timeout of a task; one that ends with its run has a longest one for runs that do not time out."""
    timeout = task["TimeoutSeconds"]
    if isinstance(timeout, int):
        return timeout
    ends_with_run = re.fullmatch(r"\{% \$states\.input\.endsAt \? .*endsAt - \$millis\(\).* : (\d+) %\}", timeout)
    assert ends_with_run
    return int(ends_with_run[1])


@pytest.mark.parametrize("machine", MACHINES)
def test_definition_states_jsonata_and_its_purpose_when_read_from_the_top(machine: str) -> None:
    definition = state_machines()[machine]

    assert definition["QueryLanguage"] == "JSONata"
    assert definition["Comment"].endswith(".")


@every_state()
def test_state_says_why_it_exists_when_looked_at(machine: str, name: str) -> None:
    assert state(machine, name)["Comment"].endswith(".")
    assert "QueryLanguage" not in state(machine, name), "stated at the top, for all"


@every_state("Task")
def test_task_ends_before_its_machine_when_nothing_happens(machine: str, name: str) -> None:
    assert 0 < longest_seconds(state(machine, name)) < state_machines()[machine]["TimeoutSeconds"]


def test_timeouts_are_nested_outward_when_a_run_waits_for_a_job() -> None:
    machines = {name: machine["TimeoutSeconds"] for name, machine in state_machines().items()}
    of_run = longest_seconds(state("PipelineStateMachine", "Run Job"))
    of_group = longest_seconds(state("JobGroupStateMachine", "Run Job"))

    assert machines["JobRunStateMachine"] < of_group < machines["JobGroupStateMachine"] < of_run
    assert of_run < machines["PipelineStateMachine"] == 365 * DAY  # the longest that Step Functions allows


def test_streaming_job_runs_on_when_months_have_passed() -> None:
    for name in ("Add Job Run", "Check Status"):
        assert state("JobRunStateMachine", name)["TimeoutSeconds"] > 360 * DAY


def test_run_ends_at_its_time_when_it_waits_for_anything() -> None:
    waits = {"Launch Application", "Wait For Slot", "Run Job"}
    tasks = {**dict(states("JobGroupStateMachine", "Task")), **dict(states("PipelineStateMachine", "Task"))}

    assert {name for name, task in tasks.items() if "endsAt" in str(task["TimeoutSeconds"])} == waits


def test_clean_up_has_its_time_when_every_other_step_took_all_of_theirs() -> None:
    tasks = dict(states("PipelineStateMachine", "Task"))
    # A run with jobs that never end by themselves does not wait for a slot for most of a year, too.
    steps = [longest_seconds(task) for name, task in tasks.items() if name != "Wait For Slot"]

    assert sum(steps) <= state_machines()["PipelineStateMachine"]["TimeoutSeconds"]


@every_state("Task")
def test_task_has_a_heartbeat_shorter_than_its_timeout_when_it_waits_for_a_token(machine: str, name: str) -> None:
    task = state(machine, name)
    if not task["Resource"].endswith(".waitForTaskToken"):
        assert "HeartbeatSeconds" not in task
        return

    assert heartbeat_parameter(machine, task)["MaxValue"] < longest_seconds(task)
    assert task["Arguments"]["Payload"]["taskToken"] == "{% $states.context.Task.Token %}"


@every_state("Task")
def test_task_retries_noise_and_only_noise_when_it_fails(machine: str, name: str) -> None:
    task = state(machine, name)
    groups = [set(retrier["ErrorEquals"]) for retrier in task["Retry"]]

    if task["Resource"] == STARTS_EXECUTION:
        assert any(group >= NESTED_NOISE for group in groups)
    else:
        assert any(group >= LAMBDA_NOISE for group in groups)
        assert OVERLOAD in groups
    assert not set.union(*groups) & {"States.ALL", "States.TaskFailed"}


@every_state("Task")
def test_task_spreads_its_retries_when_many_runs_meet_the_same_trouble(machine: str, name: str) -> None:
    for retrier in state(machine, name)["Retry"]:
        if retrier["ErrorEquals"] == ["States.HeartbeatTimeout"]:
            continue  # nothing is overloaded: an event was late
        assert retrier["JitterStrategy"] == "FULL"
        assert retrier["IntervalSeconds"] < retrier["MaxDelaySeconds"] <= 120
        assert retrier["BackoffRate"] > 1


def patience(machine: str, name: str) -> float:
    """Return for how many seconds, on average, a task is tried again while AWS is overloaded."""
    (retrier,) = [
        retrier for retrier in state(machine, name)["Retry"] if not ANY_OVERLOAD.isdisjoint(retrier["ErrorEquals"])
    ]
    mean_pause = retrier["MaxDelaySeconds"] / 2
    return float(mean_pause * retrier["MaxAttempts"])


@every_state("Task")
def test_task_goes_on_when_aws_was_overloaded_for_a_while(machine: str, name: str) -> None:
    assert patience(machine, name) >= 1800


@pytest.mark.parametrize(
    ("machine", "name"), [("PipelineStateMachine", "Launch Application"), ("JobRunStateMachine", "Add Job Run")]
)
def test_run_gets_its_turn_when_emr_is_busy_for_hours(machine: str, name: str) -> None:
    """StartJobRun lets through one a second, and an application is not updated before its job runs have ended."""
    assert patience(machine, name) >= 8 * 3600


@every_state("Task", "Map")
def test_state_leaves_no_error_uncaught_when_it_fails(machine: str, name: str) -> None:
    if (machine, name) == ("JobGroupStateMachine", "Run Group"):
        return  # its execution fails, which the run catches at "Run Job"
    assert state(machine, name)["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_error_leads_to_clean_up_when_it_happens_before_it() -> None:
    pipeline = state_machines()["PipelineStateMachine"]
    before = [step for name, step in pipeline["States"].items() if "Catch" in step and name != "Clean Up"]

    assert len(before) == 4
    for step in before:
        *detours, last = step["Catch"]
        assert {catcher["Next"] for catcher in detours} <= {"Wait For Slot"}
        assert last["Next"] == "Clean Up"
        assert last["Output"].keys() == {"error", "cause"}


@every_state("Choice")
def test_choice_has_a_default_when_nothing_matches(machine: str, name: str) -> None:
    assert state(machine, name)["Default"]


@every_state("Fail")
def test_fail_says_what_and_why_when_entered(machine: str, name: str) -> None:
    assert state(machine, name).keys() >= {"Error", "Cause"}


@pytest.mark.parametrize("machine", MACHINES)
def test_cause_is_looked_for_before_it_is_used_when_an_error_may_have_none(machine: str) -> None:
    """A timeout has none, and an expression without a value would end the execution where it is caught."""
    expressions = re.findall(r"{%(.*?)%}", json.dumps(state_machines()[machine]))
    used = [expression.strip() for expression in expressions if re.search(r"(errorOutput|input)\.Cause", expression)]

    assert used
    for expression in used:
        assert re.fullmatch(r"\$exists\((\S+\.Cause)\) \? \1 : (null|'')", expression)


@pytest.mark.parametrize("machine", MACHINES)
def test_placeholders_are_what_the_template_supplies_when_deployed(machine: str) -> None:
    used = placeholders(machine)

    assert used == substitutions(machine).keys()
    assert all(re.fullmatch("([A-Z][a-z0-9]+)+", name) for name in used)


@pytest.mark.parametrize("machine", MACHINES)
def test_definition_names_neither_account_nor_partition_when_deployed_anywhere(machine: str) -> None:
    arns = set(re.findall(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:", str(state_machines()[machine])))

    assert arns == {"arn:${Partition}:states:::"}
    assert substitutions(machine)["Partition"] == {"Ref": "AWS::Partition"}


def error_names(machine: str) -> Iterator[str]:
    """Yield every name that a Retry or a Catch looks for."""
    for _, step in states(machine):
        for rule in [*step.get("Retry", []), *step.get("Catch", [])]:
            yield from rule["ErrorEquals"]


@pytest.mark.parametrize("machine", MACHINES)
def test_error_is_a_class_of_ours_when_aws_does_not_define_it(machine: str) -> None:
    of_aws = re.compile(r"(States|Lambda|StepFunctions|Sandbox|Runtime)\.")
    ours = {name for name in error_names(machine) if not of_aws.match(name)}

    assert ours
    for name in ours:
        assert issubclass(getattr(emr_pipelines.errors, name), EmrPipelinesError)


def scopes(definition: Definition) -> Iterator[Definition]:
    """Yield a state machine and everything in it that has states of its own."""
    yield definition
    for step in definition["States"].values():
        if "ItemProcessor" in step:
            yield from scopes(step["ItemProcessor"])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_has_a_way_to_it_when_deployed(machine: str) -> None:
    """Step Functions refuses a definition with an unreachable state, or with a way that leads nowhere."""
    for scope in scopes(state_machines()[machine]):
        ways = {scope["StartAt"]}
        for step in scope["States"].values():
            rules = [step, *step.get("Catch", []), *step.get("Choices", [])]
            ways |= {rule[key] for rule in rules for key in ("Next", "Default") if key in rule}
        assert ways == scope["States"].keys()
