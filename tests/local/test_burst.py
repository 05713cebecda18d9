"""A burst of uploads on the whole local stack: one run for each, at AWS's quotas, with simulated jobs.

`python -m bench burst` does the same with two thousand uploads at raised quotas, and measures.
"""

from collections.abc import Iterator

import pytest

from bench.burst import upload_burst
from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest
from tests.local.deployed import DeployedStack, deploy

UPLOADS = 40  # EMR takes 25 job runs at once, and then one a second
SECONDS = 150.0


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeployedStack]:
    """The stack on a local AWS whose jobs only take time."""
    monkeypatch.setenv("EMRP_SIMULATED_JOB_SECONDS", "0")
    with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("burst")) as server:
        for name, value in server.environment().items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        yield deploy(LocalAwsUnderTest(server), "burst")


def test_each_upload_has_one_run_that_succeeds_when_many_come_at_once(stack: DeployedStack) -> None:
    burst = upload_burst(stack.stack, UPLOADS, stack.aws.server.pid, SECONDS)

    assert (burst.lost, burst.repeated, burst.unsuccessful) == (0, 0, 0)
    assert burst.ended_within > UPLOADS - 25 - 1, "StartJobRun was not throttled"
    dead_letters = stack.aws.client("sqs").get_queue_attributes(
        QueueUrl=stack.stack.trigger_dead_letter_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert dead_letters["Attributes"]["ApproximateNumberOfMessages"] == "0"
