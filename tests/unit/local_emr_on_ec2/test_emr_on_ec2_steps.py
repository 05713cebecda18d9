"""Steps of the local EMR on EC2: what they run, their states, events and logs."""

import io
import shlex
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emrp.local.emr_on_ec2.step_command import InvalidStep, job_driver_of
from tests.unit.local_emr_on_ec2.harness import Harness, step

STEP = "EMR Step Status Change"


async def test_step_runs_as_a_spark_driver_when_it_submits_a_program(emr: Harness) -> None:
    settings = {"Classification": "spark-defaults", "Properties": {"spark.x": "1"}}
    cluster_id = emr.run_job_flow(
        step("one", "spark-submit", "--deploy-mode", "cluster", "--conf", "a=b", "s3://b/p.py", "x"),
        Configurations=[settings],
        JobFlowRole="profile",
    )
    driver = await emr.driver_of(cluster_id, "one")
    assert driver.request.job_driver == {
        "sparkSubmit": {
            "entryPoint": "s3://b/p.py",
            "entryPointArguments": ["x"],
            "sparkSubmitParameters": "--conf a=b",
        }
    }
    assert driver.request.environment == {"ROLE": "profile"}
    assert driver.request.configurations[0]["properties"] == {"spark.x": "1"}

    driver.finish()
    done = await emr.step_reaches(cluster_id, "one", "COMPLETED")
    assert set(done["Status"]["Timeline"]) == {"CreationDateTime", "StartDateTime", "EndDateTime"}
    assert emr.states(STEP) == ["PENDING", "RUNNING", "COMPLETED"]
    assert "and took 0 minutes to complete." in emr.events[-2][1]["message"]
    assert "finished running all pending steps" in emr.events[-1][1]["message"]
    event = next(detail for kind, detail in emr.events if kind == STEP)
    assert {name: event[name] for name in ("severity", "actionOnFailure", "stepId", "name", "clusterId")} == {
        "severity": "INFO",
        "actionOnFailure": "CONTINUE",
        "stepId": done["Id"],
        "name": "one",
        "clusterId": cluster_id,
    }


async def test_failed_step_says_why_when_its_program_ends_with_an_error(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"), LogUri="s3n://logs/emr/")
    (await emr.driver_of(cluster_id, "one")).finish(1, "Traceback (most recent call last):\nValueError: no\n")
    failed = await emr.step_reaches(cluster_id, "one", "FAILED")
    folder = f"logs/emr/{cluster_id}/steps/{failed['Id']}"
    details = failed["Status"]["FailureDetails"]
    assert details["Message"] == "ValueError: no"
    assert details["LogFile"] == f"s3://{folder}/stderr.gz"
    assert {key.removeprefix(f"{folder}/") for key in emr.objects} == {
        "controller.gz",
        "stderr.gz",
        "stdout.gz",
        "syslog.gz",
    }
    assert "exitCode 1" in emr.log(f"{folder}/controller.gz")
    assert "ValueError: no" in emr.log(f"{folder}/stderr.gz")
    assert emr.events[-2][1]["severity"] == "ERROR"


@pytest.mark.parametrize(
    ("arguments", "jar", "problem"),
    [
        (("state-pusher-script",), "command-runner.jar", "The command state-pusher-script is not on this machine"),
        (("spark-submit", "--master", "yarn"), "command-runner.jar", "needs a program"),
        (("hive-script", "--args", "-d", "a=b"), "command-runner.jar", "needs a script"),
        (("x",), "s3://bucket/none.jar", "The specified key does not exist"),
        (("x",), "s3://bucket/text.jar", "is not a JAR file"),
        (("x",), "/home/hadoop/my.jar", "is not an object in S3"),
    ],
)
async def test_step_fails_with_a_reason_in_stderr_when_nothing_here_can_run_it(
    emr: Harness, arguments: tuple[str, ...], jar: str, problem: str
) -> None:
    emr.objects["bucket/text.jar"] = b"no archive"
    cluster_id = emr.run_job_flow(step("one", *arguments, jar=jar), LogUri="s3://logs/")
    failed = await emr.step_reaches(cluster_id, "one", "FAILED")
    assert problem in failed["Status"]["FailureDetails"]["Message"]
    assert problem in emr.log(f"logs/{cluster_id}/steps/{failed['Id']}/stderr.gz")
    assert emr.states(STEP) == ["PENDING", "RUNNING", "FAILED"]


async def test_jar_runs_with_the_main_class_of_its_manifest_when_the_step_names_none(emr: Harness) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nMain-Class: com.example.Main\r\n")
    emr.objects["bucket/my.jar"] = archive.getvalue()
    cluster_id = emr.run_job_flow(step("one", "x", jar="s3://bucket/my.jar"))
    submitted = (await emr.driver_of(cluster_id, "one")).request.job_driver["sparkSubmit"]
    assert submitted["sparkSubmitParameters"] == "--class com.example.Main"
    assert (submitted["entryPoint"], submitted["entryPointArguments"]) == ("s3://bucket/my.jar", ["x"])


async def test_steps_run_at_a_time_when_the_concurrency_level_allows(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"), step("two"), step("three"), StepConcurrencyLevel=2)
    await emr.driver_of(cluster_id, "two")
    assert emr.step_states(cluster_id) == {"one": "RUNNING", "two": "RUNNING", "three": "PENDING"}
    emr.client.modify_cluster(ClusterId=cluster_id, StepConcurrencyLevel=3)
    await emr.driver_of(cluster_id, "three")


async def test_steps_are_cancelled_when_they_wait_or_run(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"), step("two"))
    driver = await emr.driver_of(cluster_id, "one")
    ids = {name: found["Id"] for name, found in emr.steps(cluster_id).items()}
    answers = emr.client.cancel_steps(ClusterId=cluster_id, StepIds=list(ids.values()))["CancelStepsInfoList"]
    assert [answer["Status"] for answer in answers] == ["SUBMITTED", "SUBMITTED"]
    await emr.cluster_reaches(cluster_id, "WAITING")
    assert emr.step_states(cluster_id) == {"one": "CANCELLED", "two": "CANCELLED"}
    assert driver.killed_after_grace == 5
    assert [detail["state"] for kind, detail in emr.events if kind == STEP and detail["name"] == "one"] == [
        "PENDING",
        "RUNNING",
        "CANCEL_PENDING",
        "CANCELLED",
    ]

    (again,) = emr.client.cancel_steps(ClusterId=cluster_id, StepIds=[ids["one"]])["CancelStepsInfoList"]
    assert again["Status"] == "FAILED"


async def test_driver_has_no_grace_when_its_process_is_to_be_terminated(emr: Harness) -> None:
    cluster_id = emr.run_job_flow(step("one"))
    driver = await emr.driver_of(cluster_id, "one")
    step_id = emr.steps(cluster_id)["one"]["Id"]
    emr.client.cancel_steps(ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    await emr.step_reaches(cluster_id, "one", "CANCELLED")
    assert driver.killed_after_grace == 0


@given(words=st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1), max_size=4))
def test_arguments_reach_the_program_unchanged_when_they_are_any_text(words: list[str]) -> None:
    driver = job_driver_of(configured("spark-submit", "--name", "a b", "s3://b/p.py", *words))["sparkSubmit"]
    assert driver["entryPointArguments"] == words
    assert shlex.split(driver["sparkSubmitParameters"]) == ["--name", "a b"]


@pytest.mark.parametrize(
    ("arguments", "hive"),
    [
        (
            ("hive-script", "--run-hive-script", "--args", "-f", "s3://b/q.q", "-d", "INPUT=s3://i", "-d", "O=s3://o"),
            {"query": "s3://b/q.q", "parameters": "-d INPUT=s3://i -d O=s3://o"},
        ),
        (
            ("hive-script", "--base-path", "s3://x", "--hive-versions", "latest", "--args", "-f", "s3://b/q.q"),
            {"query": "s3://b/q.q", "parameters": ""},
        ),
        (
            ("hive", "-e", "SELECT 1", "-i", "s3://b/i.q"),
            {"query": "SELECT 1", "parameters": "", "initQueryFile": "s3://b/i.q"},
        ),
        (("/usr/bin/spark-sql", "-f", "s3://b/q.sql"), {"query": "s3://b/q.sql", "parameters": ""}),
    ],
)
def test_hive_is_understood_when_it_is_called_as_emr_calls_it(arguments: tuple[str, ...], hive: dict[str, str]) -> None:
    assert job_driver_of(configured(*arguments)) == {"hive": hive}


@pytest.mark.parametrize("arguments", [(), ("hive", "-f")])
def test_step_is_refused_when_its_arguments_are_incomplete(arguments: tuple[str, ...]) -> None:
    with pytest.raises(InvalidStep, match="needs"):
        job_driver_of(configured(*arguments))


def configured(*arguments: str) -> dict[str, Any]:
    """A step as ministack keeps it."""
    return {"Config": {"Jar": "command-runner.jar", "Args": list(arguments), "Properties": {}, "MainClass": ""}}
