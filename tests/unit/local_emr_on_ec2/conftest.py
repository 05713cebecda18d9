"""What the tests of the local EMR on EC2 share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.local_emr_on_ec2.harness import Harness, forget_clusters


@pytest.fixture
async def emr(tmp_path: Path) -> AsyncIterator[Harness]:
    """The service, with nothing in it."""
    forget_clusters()
    async with Harness(tmp_path) as harness:
        yield harness
    forget_clusters()
