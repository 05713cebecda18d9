import inspect
import json
import os
import pkgutil
import subprocess
import sys
import tomllib
from io import StringIO
from types import ModuleType
from typing import Any, NoReturn
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from emrp import environment
from emrp.cli import app
from emrp.dlq import dlq_app
from emrp.errors import (
    EXIT_ENVIRONMENT,
    EXIT_INTERRUPTED,
    EXIT_RUN_FAILED,
    EXIT_USAGE,
    CommandError,
    RunFailedError,
    UsageError,
)
from emrp.local import DEFAULT_PORT, lifecycle
from emrp.local.lifecycle import LocalAwsError
from emrp.stack import Stack
from tests.unit.conftest import ROOT, Command, deployed_stack

OUTPUTS = {name: value for name, value in deployed_stack().as_json().items() if name != "StackName"}


class FakeAws:
    """CloudFormation with one stack."""

    def __init__(self) -> None:
        self.outputs = dict(OUTPUTS)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if StackName != "emr-pipelines":
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        outputs = [{"OutputKey": name, "OutputValue": value} for name, value in self.outputs.items()]
        return {"Stacks": [{"StackStatus": "CREATE_IN_PROGRESS", "Outputs": outputs}]}


@pytest.fixture
def fake_aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setattr(boto3, "client", lambda _: fake)
    return fake


@pytest.mark.parametrize("command", [[], ["run"], ["watch"], ["deploy"], ["demo"], ["local"], ["local", "up"]])
def test_help_is_printed_when_it_is_asked_for(command: list[str], emrp: Command) -> None:
    code, printed, _ = emrp(*command, "--help")

    assert (code, "Usage:" in printed) == (0, True)


def test_exit_codes_are_documented_when_help_is_asked_for(emrp: Command) -> None:
    _, printed, _ = emrp("--help")

    assert "Exit codes: 0" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["show"],
        ["--json", "list"],
        ["run", "salaries", "--parameter", "top"],
        ["run", "salaries", "-p", "=5"],
        ["demo", "--port", "-1"],
        ["--local", "--profile", "work", "run", "salaries"],
    ],
)
def test_exit_code_is_2_when_the_usage_is_wrong(arguments: list[str], emrp: Command) -> None:
    code, _, complaint = emrp(*arguments)

    assert code == EXIT_USAGE
    assert complaint
    assert "Traceback" not in complaint


def test_exit_code_is_3_when_the_stack_is_missing(fake_aws: FakeAws, emrp: Command) -> None:
    code, _, complaint = emrp("--stack", "other", "run", "salaries")

    assert code == EXIT_ENVIRONMENT
    assert complaint.startswith('There is no stack "other" in this account and region: deploy it with `emrp deploy`')


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (CommandError("The disk is full."), 3, "The disk is full."),
        (UsageError("No."), 2, "No."),
        (RunFailedError("It failed."), 1, "It failed."),
        (OSError(28, "No space left on device"), 3, "The operating system refuses: [Errno 28] No space left"),
        (NoCredentialsError(), 3, "Log in, or name a profile with --profile, or use --local"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_sentence_and_exit_code_are_given_when_a_command_fails(
    error: BaseException, code: int, sentence: str, emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "describe", mock.Mock(side_effect=error))

    ended, _, complaint = emrp("run", "salaries")

    assert ended == code
    assert complaint.startswith(sentence)
    assert "Traceback" not in complaint


class _Interrupted(ModuleType):
    """A module in whose import somebody has pressed Ctrl-C."""

    def __getattr__(self, name: str) -> NoReturn:
        raise KeyboardInterrupt


def test_exit_code_is_130_when_the_imports_are_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "emrp.cli", _Interrupted("emrp.cli"))
    script = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["emrp"]

    with pytest.raises(SystemExit) as end:
        pkgutil.resolve_name(script)()

    assert end.value.code == EXIT_INTERRUPTED


def test_nothing_else_is_imported_before_an_interrupt_is_awaited() -> None:
    program = "import sys; before = set(sys.modules); import emrp.__main__; print(*set(sys.modules) - before)"

    imported = subprocess.run([sys.executable, "-c", program], cwd=ROOT, text=True, capture_output=True, check=True)

    packages = {name.split(".")[0] for name in imported.stdout.split()}
    assert packages - sys.stdlib_module_names == {"emrp"}


def test_stack_is_described_by_its_outputs_when_it_is_deployed(fake_aws: FakeAws) -> None:
    stack = Stack.describe("emr-pipelines")

    assert stack == deployed_stack()
    assert stack.as_json()["BucketName"] == stack.bucket == "bucket"


def test_stack_is_refused_when_it_has_no_outputs_yet(fake_aws: FakeAws) -> None:
    fake_aws.outputs.clear()

    with pytest.raises(CommandError, match="is CREATE_IN_PROGRESS and has no output 'BucketName'"):
        Stack.describe("emr-pipelines")


def test_foreign_settings_are_dropped_when_an_environment_is_used() -> None:
    with mock.patch.dict(os.environ, {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "secret"}):
        environment.use({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})

        assert {name for name in os.environ if name.startswith("AWS_")} == {"AWS_ENDPOINT_URL"}


def test_boto3_learns_the_region_when_only_aws_region_is_set() -> None:
    with mock.patch.dict(os.environ, {"AWS_REGION": "eu-west-1"}):
        os.environ.pop("AWS_DEFAULT_REGION")
        environment.use_account(profile=None, region=None)

        assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"


@pytest.mark.parametrize(
    "command",
    [
        ["schema"],
        ["validate", str(ROOT / "pipelines")],
        ["plan", str(ROOT / "pipelines" / "salaries.yaml")],
        ["list", "--help"],
    ],
)
def test_command_works_when_it_needs_no_local_aws_and_none_runs(
    command: list[str], emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "find", lambda _: None)

    assert emrp("--local", *command)[0] == 0


@pytest.mark.parametrize("command", [[], ["list"], ["dlq", "list"], ["deploy"], ["smoke", "--yes"]])
def test_command_says_how_to_start_the_local_aws_when_it_needs_one_and_none_runs(
    command: list[str], emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "find", lambda _: None)

    code, _, complaint = emrp("--local", "--port", "4711", *command)

    assert code == EXIT_ENVIRONMENT
    assert complaint.startswith("No local AWS runs on port 4711: start it with `emrp local up --port 4711`.")


@pytest.mark.parametrize("command", ["up", "down", "status", "inbox"])
def test_exit_code_is_3_when_another_program_has_the_port(
    command: str, emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = mock.Mock(side_effect=LocalAwsError("Port 4566 is used by a program."))
    monkeypatch.setattr(lifecycle, "find", refuse)
    monkeypatch.setattr(lifecycle, "start", refuse)

    assert emrp("local", command) == (EXIT_ENVIRONMENT, "", "Port 4566 is used by a program.\n")


@pytest.mark.parametrize(("command", "code"), [("status", 1), ("down", 0), ("inbox", EXIT_ENVIRONMENT)])
def test_exit_code_tells_that_no_local_aws_runs_when_it_is_asked_for(
    command: str, code: int, emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "find", lambda _: None)

    ended, printed, complaint = emrp("local", command, "--port", "4711")

    assert ended == code
    assert f"{printed}{complaint}".startswith("No local AWS runs on port 4711")


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        (["local", "status"], DEFAULT_PORT),
        (["local", "status", "--port", "4711"], 4711),
        (["--local", "--port", "4711", "local", "status"], 4711),
        (["--local", "--port", "4711", "local", "down"], 4711),
        (["--local", "--port", "4711", "local", "status", "--port", "4712"], 4712),
    ],
)
def test_port_is_the_named_one_when_it_stands_before_or_behind_the_command(
    arguments: list[str], port: int, emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "find", lambda _: None)

    _, printed, _ = emrp(*arguments, "--json")

    assert json.loads(printed)["port"] == port


@pytest.mark.parametrize("command", ["deploy", "smoke"])
def test_nothing_is_done_when_nobody_confirms(
    command: str, aws: None, emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(""))

    code, _, complaint = emrp(command)

    assert code == EXIT_USAGE
    assert "nothing was done" in complaint


def test_every_command_that_shows_something_prints_json_when_it_is_asked_for() -> None:
    commands = [*app.registered_commands, *dlq_app.registered_commands]
    callbacks = [command.callback for command in commands if command.callback]
    without = {run.__name__ for run in callbacks if "as_json" not in inspect.signature(run).parameters}

    assert without == {"demo", "smoke"}  # their exit codes are their results
    assert len(callbacks) == len(commands)


def test_page_of_the_command_line_has_every_exit_code() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")

    for code in (0, EXIT_RUN_FAILED, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED):
        assert f"| {code} |" in page
