"""Clusters of the local EMR on EC2: their states, reasons and events."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local_emr_on_ec2.harness import KEEP_ALIVE, Harness, forget_clusters, step
from tests.unit.local_emr_serverless.harness import refusal

CLUSTER = "EMR Cluster State Change"
ENDS = {"InstanceCount": 1}  # without KeepJobFlowAliveWhenNoSteps


async def test_cluster_waits_when_it_has_no_steps(emr: Harness) -> None:
    cluster_id = emr.run_job_flow()
    assert emr.cluster(cluster_id)["Status"]["State"] == "STARTING"

    cluster = await emr.cluster_reaches(cluster_id, "WAITING")
    assert cluster["Status"]["StateChangeReason"] == {"Message": "Cluster ready to run steps."}
    assert set(cluster["Status"]["Timeline"]) == {"CreationDateTime", "ReadyDateTime"}
    assert emr.states(CLUSTER) == ["STARTING", "WAITING"]


async def test_cluster_runs_and_waits_when_a_step_comes_and_goes(emr: Harness) -> None:
    cluster_id = emr.run_job_flow()
    await emr.cluster_reaches(cluster_id, "WAITING")
    emr.client.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step("one")])
    driver = await emr.driver_of(cluster_id, "one")
    assert emr.cluster(cluster_id)["Status"]["State"] == "RUNNING"
    driver.finish()
    cluster = await emr.cluster_reaches(cluster_id, "WAITING")
    assert cluster["Status"]["StateChangeReason"]["Message"] == "Cluster ready after last step completed."
    assert emr.states(CLUSTER) == ["STARTING", "WAITING", "RUNNING", "WAITING"]


@pytest.mark.parametrize(("exit_code", "message"), [(0, "Steps completed"), (1, "Steps completed with errors")])
async def test_cluster_ends_by_itself_when_it_is_not_kept_alive(emr: Harness, exit_code: int, message: str) -> None:
    cluster_id = emr.run_job_flow(step("one"), Instances=ENDS)
    (await emr.driver_of(cluster_id, "one")).finish(exit_code)
    cluster = await emr.cluster_reaches(cluster_id, "TERMINATED")
    assert cluster["Status"]["StateChangeReason"] == {"Code": "ALL_STEPS_COMPLETED", "Message": message}
    kind, last = emr.events[-1]
    assert (kind, last["severity"], last["state"]) == (CLUSTER, "INFO", "TERMINATED")
    assert json.loads(last["stateChangeReason"]) == {"code": "ALL_STEPS_COMPLETED", "message": message}
    assert last["clusterId"] == cluster_id
    assert "reason of ALL_STEPS_COMPLETED" in last["message"]


async def test_cluster_fails_and_cancels_the_others_when_a_step_fails_that_terminates_it(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one", action="TERMINATE_CLUSTER"), step("two"))
    (await emr.driver_of(cluster_id, "one")).finish(1)
    cluster = await emr.cluster_reaches(cluster_id, "TERMINATED_WITH_ERRORS")
    assert cluster["Status"]["StateChangeReason"] == {"Code": "STEP_FAILURE", "Message": "Shut down as step failed"}
    assert emr.step_states(cluster_id) == {"one": "FAILED", "two": "CANCELLED"}
    assert emr.events[-1][1]["severity"] == "CRITICAL"


async def test_cluster_waits_and_cancels_the_others_when_a_step_fails_that_asks_for_it(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one", action="CANCEL_AND_WAIT"), step("two"))
    (await emr.driver_of(cluster_id, "one")).finish(1)
    await emr.cluster_reaches(cluster_id, "WAITING")
    assert emr.step_states(cluster_id) == {"one": "FAILED", "two": "CANCELLED"}


async def test_next_step_runs_when_one_fails_that_continues(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"), step("two"))
    (await emr.driver_of(cluster_id, "one")).finish(1)
    (await emr.driver_of(cluster_id, "two")).finish()
    await emr.cluster_reaches(cluster_id, "WAITING")
    assert emr.step_states(cluster_id) == {"one": "FAILED", "two": "COMPLETED"}


async def test_protected_cluster_waits_when_a_step_fails_that_would_terminate_it(emr: Harness) -> None:
    instances = ENDS | {"TerminationProtected": True}
    cluster_id = emr.run_job_flow(step("one", action="TERMINATE_JOB_FLOW"), step("two"), Instances=instances)
    (await emr.driver_of(cluster_id, "one")).finish(1)
    await emr.cluster_reaches(cluster_id, "WAITING")
    assert emr.step_states(cluster_id)["two"] == "CANCELLED"


async def test_steps_end_when_their_cluster_is_terminated(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"), step("two"), LogUri="s3://logs/")
    driver = await emr.driver_of(cluster_id, "one")
    emr.client.terminate_job_flows(JobFlowIds=[cluster_id])
    assert emr.cluster(cluster_id)["Status"]["State"] == "TERMINATING"
    cluster = await emr.cluster_reaches(cluster_id, "TERMINATED")
    assert driver.killed_after_grace == 0
    assert cluster["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
    assert emr.step_states(cluster_id) == {"one": "INTERRUPTED", "two": "CANCELLED"}
    assert emr.states(CLUSTER)[-1] == "TERMINATED"


async def test_only_unprotected_clusters_end_when_some_are_protected(emr: Harness) -> None:
    protected, other = emr.run_job_flow(), emr.run_job_flow()
    emr.client.set_termination_protection(JobFlowIds=[protected], TerminationProtected=True)
    _, code, message = refusal(emr.client.terminate_job_flows, JobFlowIds=[protected, other])
    assert code == "ValidationException"
    assert "termination protected" in message
    await emr.cluster_reaches(other, "TERMINATED")
    await emr.cluster_reaches(protected, "WAITING")

    emr.client.set_termination_protection(JobFlowIds=[protected], TerminationProtected=False)
    emr.client.terminate_job_flows(JobFlowIds=[protected])
    await emr.cluster_reaches(protected, "TERMINATED")


async def test_bootstrap_actions_run_before_the_first_step_when_there_are_some(emr: Harness) -> None:
    emr.objects["bucket/boot.sh"] = b"echo"
    cluster_id = emr.run_job_flow(step("one"), **bootstrap("s3://bucket/boot.sh", "a", "b"))
    assert not emr.drivers
    await emr.driver_of(cluster_id, "one")
    assert [(script.script, script.arguments) for script in emr.scripts] == [(b"echo", ["a", "b"])]
    listed = emr.client.list_bootstrap_actions(ClusterId=cluster_id)["BootstrapActions"]
    assert listed == [{"Name": "boot", "ScriptPath": "s3://bucket/boot.sh", "Args": ["a", "b"]}]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("s3://bucket/boot.sh", "bootstrap action 1 returned a non-zero return code"),
        ("s3://bucket/none.sh", "failed attempting to download bootstrap action 1 file from S3"),
        ("/usr/bin/true", "failed attempting to download bootstrap action 1 file from S3"),
    ],
)
async def test_cluster_ends_with_errors_when_a_bootstrap_action_fails(emr: Harness, path: str, reason: str) -> None:
    emr.objects["bucket/boot.sh"] = b"exit 1"
    emr.script_exit_code = 1
    cluster_id = emr.run_job_flow(step("one"), LogUri="s3://logs/", **bootstrap(path))
    cluster = await emr.cluster_reaches(cluster_id, "TERMINATED_WITH_ERRORS")
    assert cluster["Status"]["StateChangeReason"]["Code"] == "BOOTSTRAP_FAILURE"
    assert reason in cluster["Status"]["StateChangeReason"]["Message"]
    assert "ReadyDateTime" not in cluster["Status"]["Timeline"]
    assert emr.step_states(cluster_id) == {"one": "CANCELLED"}
    assert any("bootstrap-actions/1/controller.gz" in key for key in emr.objects)
    assert emr.states(CLUSTER) == ["STARTING", "TERMINATED_WITH_ERRORS"]


async def test_cluster_ends_with_errors_when_its_script_cannot_be_started(emr: Harness) -> None:
    emr.objects["bucket/boot.sh"] = b"echo"
    emr.script_problem = FileNotFoundError("bash")
    cluster_id = emr.run_job_flow(**bootstrap("s3://bucket/boot.sh"))
    cluster = await emr.cluster_reaches(cluster_id, "TERMINATED_WITH_ERRORS")
    assert cluster["Status"]["StateChangeReason"]["Code"] == "INTERNAL_ERROR"


async def test_nothing_runs_on_when_the_service_is_reset(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"))
    driver = await emr.driver_of(cluster_id, "one")
    forget_clusters()
    emr.service.reset()
    await emr.until(lambda: driver.killed_after_grace == 0)
    assert emr.client.list_clusters()["Clusters"] == []


async def test_cluster_ends_when_it_has_been_idle_for_the_time_of_its_policy(tmp_path: Path) -> None:
    forget_clusters()
    async with Harness(tmp_path, seconds_per_idle_second=0.0001) as emr:
        cluster_id = emr.run_job_flow(AutoTerminationPolicy={"IdleTimeout": 60})
        cluster = await emr.cluster_reaches(cluster_id, "TERMINATED")
        assert cluster["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"


async def test_cluster_stays_when_its_idle_policy_is_removed_or_it_is_busy(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(AutoTerminationPolicy={"IdleTimeout": 60})
    await emr.cluster_reaches(cluster_id, "WAITING")
    described = emr.client.get_auto_termination_policy(ClusterId=cluster_id)
    assert described["AutoTerminationPolicy"] == {"IdleTimeout": 60}
    assert len(timers()) == 1
    emr.client.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step("one")])
    assert not timers()
    (await emr.driver_of(cluster_id, "one")).finish()
    await emr.cluster_reaches(cluster_id, "WAITING")
    assert len(timers()) == 1
    emr.client.remove_auto_termination_policy(ClusterId=cluster_id)
    assert not timers()


def timers() -> list[asyncio.TimerHandle]:
    """The timers of idle clusters that would fire."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled() and "_terminate_idle" in repr(timer)]


async def test_cluster_goes_on_when_its_server_was_stopped(emr: Harness, tmp_path: Path) -> None:
    waiting = emr.run_job_flow()
    running = emr.run_job_flow(step("one"), step("two"))
    failing = emr.run_job_flow(step("one", action="TERMINATE_CLUSTER"))
    await emr.cluster_reaches(waiting, "WAITING")
    drivers = [await emr.driver_of(cluster, "one") for cluster in (running, failing)]
    await emr.server_ends()
    assert [driver.killed_after_grace for driver in drivers] == [0, 0]

    async with Harness(tmp_path / "next") as following:
        following.service.resume()
        assert following.cluster(waiting)["Status"]["State"] == "WAITING"
        assert following.step_states(running)["one"] == "FAILED"
        (await following.driver_of(running, "two")).finish()
        await following.cluster_reaches(running, "WAITING")
        await following.cluster_reaches(failing, "TERMINATED_WITH_ERRORS")


async def test_cluster_that_was_ending_ends_when_its_server_was_stopped(emr: Harness, tmp_path: Path) -> None:
    ending, starting = emr.run_job_flow(), emr.run_job_flow()
    emr.client.terminate_job_flows(JobFlowIds=[ending])
    await emr.server_ends()
    async with Harness(tmp_path / "next") as following:
        following.service.resume()
        await following.cluster_reaches(ending, "TERMINATED")
        await following.cluster_reaches(starting, "WAITING")


def bootstrap(path: str, *arguments: str) -> dict[str, Any]:
    action = {"Name": "boot", "ScriptBootstrapAction": {"Path": path, "Args": list(arguments)}}
    return {"BootstrapActions": [action], "Instances": KEEP_ALIVE}
