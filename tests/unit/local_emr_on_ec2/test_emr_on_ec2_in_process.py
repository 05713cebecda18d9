"""How Step Functions and CloudFormation wait for clusters of the local EMR on EC2."""

import asyncio
from functools import partial

import pytest

from emrp.local.emr_on_ec2.in_process import InProcessClient, ServerEnds
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.stepfunctions import Watchers
from tests.unit.local_emr_on_ec2.harness import Harness


@pytest.fixture
async def client(emr: Harness) -> InProcessClient:
    """A client whose watchers hear of every event."""
    loop = asyncio.get_running_loop()
    watchers = Watchers()
    emr.on_event = lambda detail: watchers.changed(str(detail["clusterId"]))
    return InProcessClient(emr.service, lambda: loop, watchers)


async def test_thread_has_the_cluster_when_it_is_in_the_state_that_was_waited_for(
    emr: Harness, client: InProcessClient
) -> None:
    cluster_id = emr.run_job_flow()
    waiting = asyncio.to_thread(client.when, cluster_id, partial(client.cluster, cluster_id), frozenset({"WAITING"}))
    assert (await waiting)["Id"] == cluster_id


async def test_nobody_waits_when_the_server_ends(emr: Harness, client: InProcessClient) -> None:
    cluster_id = emr.run_job_flow()
    look = partial(client.cluster, cluster_id)
    waiting = asyncio.create_task(asyncio.to_thread(client.when, cluster_id, look, frozenset({"TERMINATED"})))
    await emr.cluster_reaches(cluster_id, "WAITING")
    client.end()
    with pytest.raises(ServerEnds):
        await waiting


async def test_request_is_refused_when_it_does_not_fit_the_model(client: InProcessClient) -> None:
    with pytest.raises(ApiError, match="Member must not be null"):
        await asyncio.to_thread(client.call, "RunJobFlow", {"Name": "x"})
