"""Whatever steps do, every step and cluster of the local EMR on EC2 comes to rest, in the order of EMR's states."""

import asyncio
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.local_emr_on_ec2.harness import Harness, forget_clusters, step

AFTER = {
    "PENDING": {"RUNNING", "CANCELLED"},
    "RUNNING": {"COMPLETED", "FAILED", "CANCEL_PENDING", "INTERRUPTED"},
    "CANCEL_PENDING": {"CANCELLED", "INTERRUPTED"},
}
AT_REST = {"COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"}
plans = st.lists(
    st.tuples(
        st.sampled_from(["CONTINUE", "CANCEL_AND_WAIT", "TERMINATE_CLUSTER"]),
        st.sampled_from(["succeed", "fail", "cancel", "terminate"]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=30)
@given(plan=plans, keep_alive=st.booleans(), protected=st.booleans(), level=st.integers(1, 3))
def test_steps_and_cluster_come_to_rest_when_anything_happens_to_the_steps(
    plan: list[tuple[str, str]], keep_alive: bool, protected: bool, level: int
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_live_through(Path(folder), plan, keep_alive=keep_alive, protected=protected, level=level))


async def _live_through(
    folder: Path, plan: list[tuple[str, str]], *, keep_alive: bool, protected: bool, level: int
) -> None:
    forget_clusters()
    async with Harness(folder) as emr:
        steps = [step(str(number), action=action) for number, (action, _) in enumerate(plan)]
        instances = {"KeepJobFlowAliveWhenNoSteps": keep_alive, "TerminationProtected": protected, "InstanceCount": 1}
        cluster_id = emr.run_job_flow(*steps, Instances=instances, StepConcurrencyLevel=level)
        for number, (_, happens) in enumerate(plan):
            await emr.until(lambda name=str(number): emr.step_states(cluster_id)[name] != "PENDING")  # type: ignore[misc]
            await _happen(emr, cluster_id, str(number), happens)
        resting = {"WAITING", "TERMINATED", "TERMINATED_WITH_ERRORS"}
        await emr.until(lambda: emr.cluster(cluster_id)["Status"]["State"] in resting)
        assert set(emr.step_states(cluster_id).values()) <= AT_REST
        for number in range(len(plan)):
            told = [event["state"] for _, event in emr.events if event.get("stepId") and event["name"] == str(number)]
            assert told[0] == "PENDING"
            assert all(later in AFTER[earlier] for earlier, later in pairwise(told))
            assert told[-1] == emr.step_states(cluster_id)[str(number)]


async def _happen(emr: Harness, cluster_id: str, name: str, happens: str) -> None:
    """Let something happen to a step if it runs."""
    found = emr.steps(cluster_id)[name]
    if found["Status"]["State"] != "RUNNING":
        return
    driver = next(driver for driver in emr.drivers if driver.request.job_run_id == found["Id"])
    if happens == "cancel":
        emr.client.cancel_steps(ClusterId=cluster_id, StepIds=[found["Id"]])
    elif happens == "terminate":
        emr.client.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
        emr.client.terminate_job_flows(JobFlowIds=[cluster_id])
    elif driver.killed_after_grace is None:
        driver.finish(int(happens == "fail"))
    await emr.until(lambda: emr.step_states(cluster_id)[name] in AT_REST)
