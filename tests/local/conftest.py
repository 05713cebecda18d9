"""One local AWS for all tests of a session, and what they need to talk to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from emrp.local import REGION, lifecycle
from emrp.local.lifecycle import LocalAws


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


@cache
def _client(service: str, endpoint_url: str) -> Any:
    session: Any = boto3.Session("test", "test", region_name=REGION)
    config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
    return session.client(service, endpoint_url=endpoint_url, config=config)


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsUnderTest]:
    with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("local-aws")) as server:
        yield LocalAwsUnderTest(server)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses, since all share one server."""
    return lambda prefix: f"{prefix}-{uuid4().hex[:8]}"
