"""What the contract tests read: the template, the state machines, the functions and the example events."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
DOMAIN = FUNCTIONS / "emr_pipelines"
TEMPLATE_FILE = ROOT / "template.yaml"
ACCOUNT = "123456789012"
REGION = "us-east-1"

Properties = dict[str, Any]


@cache
def template() -> Properties:
    """Return template.yaml with intrinsics in their long form, as CloudFormation sees them."""
    parsed: Properties = yaml_parse(TEMPLATE_FILE.read_text())
    return parsed


def resources(kind: str) -> dict[str, Properties]:
    """Return the properties of every resource of a type, by logical id."""
    found = template()["Resources"].items()
    return {name: resource.get("Properties", {}) for name, resource in found if resource["Type"] == kind}


def statements(value: Any) -> Iterator[Properties]:
    """Yield every policy statement below a value."""
    if isinstance(value, dict):
        yield from ([value] if "Effect" in value else [])
        for item in value.values():
            yield from statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from statements(item)


def as_list(value: Any) -> list[Any]:
    """Return a value that may stand alone or in a list as a list."""
    return value if isinstance(value, list) else [value]


def lambda_functions() -> dict[str, Properties]:
    """Return the properties of every function, by logical id."""
    return resources("AWS::Serverless::Function")


def function_folder(properties: Properties) -> str:
    """Return the folder under functions/ that holds the handler of a function."""
    folder: str = properties["Handler"].partition(".")[0]
    return folder


@cache
def function_folders() -> tuple[str, ...]:
    """Return the name of every folder with a handler."""
    return tuple(sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py")))


def pascal_case(name: str) -> str:
    """Return `AddJobRun` for `add_job_run` and for "Add Job Run"."""
    return "".join(word.capitalize() for word in name.replace("_", " ").split())


def environment_of(folder: str) -> set[str]:
    """Return the name of every environment variable that a function has."""
    properties = lambda_functions()[f"{pascal_case(folder)}Function"]
    of_all = template()["Globals"]["Function"]
    return {name for holder in (of_all, properties) for name in holder.get("Environment", {}).get("Variables", {})}


@cache
def state_machines() -> dict[str, Properties]:
    """Return every state machine definition as it stands in its file, by the logical id of its resource."""
    return {
        name: json.loads((ROOT / properties["DefinitionUri"]).read_text())
        for name, properties in resources("AWS::Serverless::StateMachine").items()
    }


def all_states(definition: Properties) -> dict[str, Properties]:
    """Return every state of a state machine, those inside a Map too."""
    states: dict[str, Properties] = {}
    for name, state in definition["States"].items():
        states[name] = state
        if "ItemProcessor" in state:
            states |= all_states(state["ItemProcessor"])
    return states


def example_events() -> list[Path]:
    """Return every example in events/."""
    return sorted((ROOT / "events").glob("*.json"))


def example_event(name: str) -> Properties:
    """Return one of the examples in events/."""
    event: Properties = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event
