"""What the tests of the local EMR Serverless share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.local_emr_serverless.harness import Harness


@pytest.fixture
async def emr(tmp_path: Path) -> AsyncIterator[Harness]:
    """The service, with nothing in it."""
    async with Harness(tmp_path) as harness:
        yield harness


@pytest.fixture
async def hasty_emr(tmp_path: Path) -> AsyncIterator[Harness]:
    """The service with minutes that last a millisecond."""
    async with Harness(tmp_path, seconds_per_minute=0.001) as harness:
        yield harness


@pytest.fixture
async def application(emr: Harness) -> str:
    """A new application."""
    application = emr.create_application()
    await emr.application_reaches(application, "CREATED")
    return application
