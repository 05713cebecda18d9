"""The example pipelines, as far as they need no run."""

from pathlib import Path
from typing import Any

import pytest
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.plan import plan
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack

from tests.unit.conftest import ROOT

PIPELINES = {file.stem: file for file in sorted((ROOT / "pipelines").iterdir())}
DATA_IS_READY = {"type": "event", "event": {"detail": {"output": "s3://bucket/output/hive-report-data/run"}}}


def planned(stack: Stack, name: str, trigger: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Job]:
    """Plan a run; returns its jobs by name."""
    definition = check_pipeline(f"pipelines/{name}.yaml", name, PIPELINES[name].read_text(encoding="utf-8"))
    run_input = {"pipeline": name, "trigger": trigger or {}, "parameters": parameters}
    _, jobs = plan(Run.begin(f"{name}-1", "arn", run_input), definition, stack)
    return {job.name: job for job in jobs}


def program_of(job: Job) -> str:
    """Return the program that a job runs, as a job run or as a step."""
    match job.request:
        case {"Steps": [{"HadoopJarStep": {"Args": ["spark-submit", program, *_]}}]}:
            return str(program)
        case {"jobDriver": {"hive": {"query": query}}}:
            return str(query)
    return str(job.request["jobDriver"]["sparkSubmit"]["entryPoint"])


@pytest.mark.parametrize("name", PIPELINES)
def test_programs_are_in_the_project_when_an_example_is_planned(stack: Stack, name: str) -> None:
    for job in planned(stack, name, DATA_IS_READY).values():
        assert Path(ROOT, program_of(job).removeprefix("s3://bucket/")).is_file()


def test_counts_wait_for_nothing_but_the_split_when_words_are_counted(stack: Stack) -> None:
    jobs = planned(stack, "wordcount-fanout", parts=["north", "south"])

    assert {name: (job.upstream, job.after) for name, job in jobs.items()} == {
        "split": ([], []),
        "count.1": (["split"], []),
        "count.2": (["split"], []),
        "merge": (["count.1", "count.2"], []),
    }
    assert jobs["split"].request["jobDriver"]["sparkSubmit"]["entryPointArguments"][4] == "north,south"


def test_modes_follow_one_another_when_a_model_is_trained(stack: Stack) -> None:
    jobs = planned(stack, "ml-training")

    assert {name: (job.item["processingMode"], job.upstream) for name, job in jobs.items()} == {
        "preprocess.1": ("TRAINING", []),
        "model.1": ("TRAINING", ["preprocess.1"]),
        "preprocess.2": ("SCORING", ["model.1"]),
        "model.2": ("SCORING", ["preprocess.2"]),
    }


def test_inputs_of_the_article_are_parameters_when_a_cluster_trains_a_model(stack: Stack) -> None:
    article = {
        "ModelName": "PipelineTest_01",
        "ModelProgram": "s3://mine/testcode/model.py",
        "PreProcessingProgram": "s3://mine/testcode/preprocess.py",
        "JobInput": "s3://aws-bigdata-blog/artifacts/sensorinputsmall/",
        "SecurityGroup": "sg-1",
        "SubNet": "subnet-1",
        "ClusterSize": "4",
        "ProcessingMode": ["TRAINING"],
    }
    definition = check_pipeline("", None, PIPELINES["ml-training-cluster"].read_text(encoding="utf-8"))
    run, jobs = plan(Run.begin("r", "arn", {"parameters": article}), definition, stack)

    instances = run.cluster["Instances"]
    assert run.cluster["Name"] == "PipelineTest_01"
    assert [fleet["TargetOnDemandCapacity"] for fleet in instances["InstanceFleets"]] == [1, 4]
    assert (instances["Ec2SubnetIds"], instances["AdditionalMasterSecurityGroups"]) == (["subnet-1"], ["sg-1"])
    assert [program_of(job) for job in jobs] == [article["PreProcessingProgram"], article["ModelProgram"]]
    assert [job.name for job in jobs] == ["preprocess.1", "model.1"]
