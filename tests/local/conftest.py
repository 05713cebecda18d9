"""One local AWS for all tests of a session, and what they need to talk to it."""

import io
import json
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from emrp.local import ACCOUNT_ID, REGION, lifecycle
from emrp.local.lifecycle import LocalAws

ROLE_ARN = f"arn:aws:iam::{ACCOUNT_ID}:role/test"
DEADLINE_SECONDS = 45.0
T = TypeVar("T")


@dataclass(frozen=True)
class LocalAwsUnderTest:
    """A running local AWS with clients for it."""

    server: LocalAws

    @property
    def endpoint_url(self) -> str:
        return self.server.endpoint_url

    def client(self, service: str) -> Any:
        """A boto3 client of a service; made once."""
        return _client(service, self.endpoint_url)

    def inbox(self) -> list[dict[str, str]]:
        return self.server.inbox()

    def create_function(self, source: str, *, name: str = "", **settings: Any) -> str:
        """Create a Lambda function from Python source with a `handler(event, context)`; returns its name."""
        name = name or f"function-{uuid4().hex[:8]}"
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("app.py", textwrap.dedent(source))
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=ROLE_ARN,
            Handler="app.handler",
            Code={"ZipFile": package.getvalue()},
            **({"Timeout": 20} | settings),
        )
        return name

    def create_state_machine(self, definition: dict[str, Any]) -> str:
        """Create a state machine (JSONata unless it says otherwise); returns its ARN."""
        created = self.client("stepfunctions").create_state_machine(
            name=f"machine-{uuid4().hex[:8]}",
            definition=json.dumps({"QueryLanguage": "JSONata"} | definition),
            roleArn=ROLE_ARN,
        )
        arn: str = created["stateMachineArn"]
        return arn

    def start_execution(self, definition: dict[str, Any], data: object = None) -> str:
        """Start a new state machine; returns the ARN of the execution."""
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.create_state_machine(definition), input=json.dumps(data or {})
        )
        arn: str = started["executionArn"]
        return arn

    def ended(self, execution_arn: str, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait for the end of an execution; returns its description."""

        def description() -> dict[str, Any] | None:
            described: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=execution_arn)
            return described if described["status"] != "RUNNING" else None

        return eventually(description, seconds)

    def run(self, definition: dict[str, Any], data: object = None) -> dict[str, Any]:
        """Run a new state machine to its end."""
        return self.ended(self.start_execution(definition, data))

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        """All events of an execution."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [event for page in pages.paginate(executionArn=execution_arn) for event in page["events"]]


def eventually(look: Callable[[], T | None], seconds: float = DEADLINE_SECONDS, every: float = 0.01) -> T:
    """Look until there is something to see, or fail after a deadline; less often where API quotas apply."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"nothing came within {seconds:g} seconds"
        time.sleep(every)
    return seen


@cache
def _client(service: str, endpoint_url: str) -> Any:
    session: Any = boto3.Session("test", "test", region_name=REGION)
    config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
    return session.client(service, endpoint_url=endpoint_url, config=config)


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsUnderTest]:
    with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("local-aws")) as server:
        yield LocalAwsUnderTest(server)


@pytest.fixture(scope="session")
def enforcing_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsUnderTest]:
    """A local AWS that enforces IAM."""
    with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("enforcing-aws"), enforce_iam=True) as server:
        yield LocalAwsUnderTest(server)


@pytest.fixture(scope="session")
def enforced_stack(enforcing_aws: LocalAwsUnderTest) -> Any:
    """The stack (a `DeployedStack`) with the project's programs and pipelines where IAM is enforced, for many tests."""
    from tests.local.deployed import deploy_project  # noqa: PLC0415 - it imports this module

    return deploy_project(enforcing_aws)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses, since all share one server."""
    return lambda prefix: f"{prefix}-{uuid4().hex[:8]}"


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    return eventually
