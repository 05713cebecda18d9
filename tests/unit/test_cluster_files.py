"""Pipelines with a cluster: what their files may say, and what becomes of it when a run is planned."""

import json
from typing import Any

import pytest
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.pipeline_schema import pipeline_schema
from emr_pipelines.plan import plan
from emr_pipelines.repair import same_plan
from emr_pipelines.run import Job, Run
from jsonschema import Draft202012Validator

from tests.unit.pipeline_files import STACK, planned, problems, problems_of_run

GROUPS = [{"Name": "CORE", "InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2}]
CLUSTER = {"ReleaseLabel": "emr-7.9.0", "Applications": [{"Name": "Spark"}], "Instances": {"InstanceGroups": GROUPS}}
ARGS = ["spark-submit", "s3://{{ stack.bucket }}/jobs/a.py", "{{ run.output }}"]


def step(name: str, *args: str, **fields: Any) -> dict[str, Any]:
    """Return a job that is a step."""
    jar = {"Jar": "command-runner.jar", "Args": list(args or ARGS)}
    return {"name": name, "step": {"HadoopJarStep": jar}, **fields}


def file_of(*jobs: dict[str, Any], cluster: dict[str, Any] | None = None, **fields: Any) -> str:
    """Return a pipeline file with a cluster."""
    return json.dumps(
        {"name": "small", "cluster": CLUSTER if cluster is None else cluster, "jobs": jobs, **fields}, indent=1
    )


def plan_of(*jobs: dict[str, Any], cluster: dict[str, Any] | None = None, **fields: Any) -> tuple[Run, list[Job]]:
    return planned(file_of(*jobs, cluster=cluster, **fields))


class TestCluster:
    """The request by which a run gets its cluster."""

    def test_request_has_what_the_stack_fills_in_when_the_file_leaves_it_out(self) -> None:
        run, _ = plan_of(step("a"))

        assert run.cluster == {
            **CLUSTER,
            "Name": "emr-pipelines-small",
            "LogUri": "s3://bucket/logs/",
            "ServiceRole": "EMR_DefaultRole",
            "JobFlowRole": "EMR_EC2_DefaultRole",
            "Instances": {"InstanceGroups": GROUPS, "KeepJobFlowAliveWhenNoSteps": True},
            "Tags": [
                {"Key": "emr-pipelines:stack", "Value": "emr-pipelines"},
                {"Key": "emr-pipelines:pipeline", "Value": "small"},
                {"Key": "emr-pipelines:run", "Value": "r"},
            ],
        }
        assert (run.application, run.lifecycle, run.application_id, run.on_cluster) == ({}, "transient", None, True)

    def test_what_the_file_says_counts_when_it_says_it(self) -> None:
        tags = [{"Key": "team", "Value": "data"}, {"Key": "emr-pipelines:run", "Value": "not mine"}]
        own = {"ServiceRole": "mine", "LogUri": "s3://mine/", "Tags": tags}
        run, _ = plan_of(step("a"), cluster={**CLUSTER, **own})

        assert (run.cluster["ServiceRole"], run.cluster["LogUri"]) == ("mine", "s3://mine/")
        assert [tag["Value"] for tag in run.cluster["Tags"]] == ["data", "emr-pipelines", "small", "r"]

    def test_template_is_read_as_a_number_when_emr_wants_one(self) -> None:
        groups = [{**GROUPS[0], "InstanceCount": "{{ parameters.nodes }}"}]
        cluster = {**CLUSTER, "Instances": {"InstanceGroups": groups}}
        run, _ = plan_of(step("a"), cluster=cluster, parameters={"nodes": 4})

        assert run.cluster["Instances"]["InstanceGroups"][0]["InstanceCount"] == 4

    def test_run_uses_the_cluster_that_it_is_given_when_it_exists(self) -> None:
        cluster = {"lifecycle": "existing", "clusterId": "{{ parameters.cluster }}"}
        run, _ = plan_of(step("a"), cluster=cluster, parameters={"cluster": "j-1ABC"})

        assert (run.lifecycle, run.application_id, run.cluster) == ("existing", "j-1ABC", {"clusterId": "j-1ABC"})

    def test_stack_has_a_name_of_the_run_when_the_cluster_is_made_by_a_template(self) -> None:
        cluster = {"template": "s3://{{ stack.bucket }}/c.yaml", "parameters": {"Nodes": "{{ parameters.nodes }}"}}
        run, _ = plan_of(step("a"), cluster=cluster, parameters={"nodes": 4})

        assert run.cluster["template"] == "s3://bucket/c.yaml"
        assert run.cluster["parameters"] == {"Nodes": "4"}
        assert run.cluster["StackName"].startswith("emr-pipelines-run-")
        assert {"Key": "emr-pipelines:run", "Value": "r"} in run.cluster["Tags"]

    def test_repair_gets_a_cluster_of_its_own_when_the_old_one_was_the_runs(self) -> None:
        template = {"template": "s3://bucket/c.yaml"}
        old, old_jobs = plan_of(step("a", timeoutMinutes=7), cluster=template)
        new = Run(run_id="r2", execution_arn="arn", started_at=old.started_at)

        repaired, (job,) = same_plan(new, old, old_jobs, STACK)

        assert repaired.cluster["StackName"] != old.cluster["StackName"]
        assert {"Key": "emr-pipelines:run", "Value": "r2"} in repaired.cluster["Tags"]
        assert repaired.application == {}
        assert (job.request["Steps"][0]["Name"], job.timeout_minutes) == ("a (r2)", 7)


class TestJobs:
    """The requests of jobs that run on a cluster."""

    def test_step_is_named_after_job_and_run_when_it_is_planned(self) -> None:
        _, (job,) = plan_of(step("a", timeoutMinutes=5))

        jar = {"Jar": "command-runner.jar", "Args": ["spark-submit", "s3://bucket/jobs/a.py", f"{STACK_OUTPUT}"]}
        assert job.request == {"Steps": [{"ActionOnFailure": "CONTINUE", "HadoopJarStep": jar, "Name": "a (r)"}]}
        assert (job.on_cluster, job.timeout_minutes) == (True, 5)

    def test_text_waits_for_other_jobs_when_it_names_them(self) -> None:
        _, jobs = plan_of(step("a"), step("b", "{{ jobs.a.output.uri }}", dependsOn=["a"]))

        assert jobs[1].deferred == ["Steps[0].HadoopJarStep.Args[0]"]

    def test_request_names_the_part_when_it_is_resized(self) -> None:
        fleet = {"name": "a", "resize": {"instanceFleet": "CORE", "TargetOnDemandCapacity": 8}}
        group = {"name": "b", "resize": {"instanceGroup": "CORE", "InstanceCount": "{{ parameters.nodes }}"}}
        _, jobs = plan_of(fleet, group, parameters={"nodes": 3})

        assert [job.request for job in jobs] == [
            {"InstanceFleetName": "CORE", "InstanceFleet": {"TargetOnDemandCapacity": 8}},
            {"InstanceGroupName": "CORE", "InstanceGroups": [{"InstanceCount": 3}]},
        ]
        assert all(job.on_cluster for job in jobs)

    def test_iterations_are_steps_of_their_own_when_a_job_is_a_loop(self) -> None:
        _, jobs = plan_of(step("a", "{{ item.mode }}", forEach={"mode": ["TRAINING", "SCORING"]}))

        assert [job.request["Steps"][0]["Name"] for job in jobs] == ["a.1 (r)", "a.2 (r)"]


STACK_OUTPUT = "s3://bucket/output/small/r"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (
            {"name": "a", "jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/a.py"}}},
            "jobs[0].jobDriver: goes with application; a job of a cluster has a step (or resize)",
        ),
        ({"name": "a"}, 'jobs[0]: "step" is missing'),
        ({"name": "a", "step": {}}, 'jobs[0].step: "HadoopJarStep" is missing'),
        (step("a", resize={"instanceFleet": "CORE"}), "jobs[0].resize: stands beside step"),
        ({"name": "a", "step": {"Name": "x", "HadoopJarStep": {"Jar": "j"}}}, "step.Name: is filled in for you"),
        ({"name": "a", "step": {"HadoopJarSteps": {}}}, 'is not a field of StepConfig; did you mean "HadoopJarStep"?'),
        ({"name": "a", "resize": {"InstanceCount": 3}}, "must have exactly one of instanceFleet, instanceGroup"),
        ({"name": "a", "resize": {"instanceGroup": "CORE", "InstanceCount": "x"}}, "must be a whole number"),
        ({"name": "a", "resize": {"instanceFleet": "C"}, "timeoutMinutes": 3}, "timeoutMinutes: goes with step"),
        (step("a", timeoutMinutes=0), "jobs[0].timeoutMinutes:"),
        (step("a", "{{ parametres.x }}"), "'parametres' is undefined"),
    ],
)
def test_problem_is_named_when_a_job_does_not_fit_a_cluster(job: dict[str, Any], message: str) -> None:
    assert message in problems(file_of(job))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"step": {"HadoopJarStep": {"Jar": "j"}}}, "jobs[0].step: goes with cluster"),
        ({"resize": {"instanceFleet": "CORE"}}, "jobs[0].resize: goes with cluster"),
        ({"timeoutMinutes": 3}, "of a job run it is executionTimeoutMinutes"),
    ],
)
def test_problem_is_named_when_a_job_does_not_fit_an_application(fields: dict[str, Any], message: str) -> None:
    application = {"releaseLabel": "emr-7.9.0", "type": "SPARK"}
    text = json.dumps({"name": "small", "application": application, "jobs": [{"name": "a", **fields}]})

    assert message in problems(text)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({**CLUSTER, "Steps": []}, "cluster.Steps: is filled in for you"),
        ({"ReleaseLabel": "emr-7.9.0"}, 'cluster: "Instances" is missing'),
        (
            {**CLUSTER, "ReleaseLabel": "7.9.0"},
            'cluster.ReleaseLabel: must begin with emr-, as in emr-7.9.0, not "7.9.0"',
        ),
        ({}, 'cluster: "Instances" is missing'),
        ({**CLUSTER, "ReleaseLable": "x"}, 'not a field of RunJobFlow; did you mean "ReleaseLabel"?'),
        ({**CLUSTER, "Instances": {"KeepJobFlowAliveWhenNoSteps": False}}, "must be left out"),
        ({"lifecycle": "existing"}, 'lifecycle "existing" needs clusterId'),
        ({**CLUSTER, "lifecycle": "existing", "clusterId": "j-1"}, 'lifecycle "existing" takes no ReleaseLabel'),
        ({**CLUSTER, "clusterId": "j-1"}, 'clusterId goes with lifecycle "existing"'),
        ({**CLUSTER, "template": "s3://b/c.yaml"}, "template takes no ReleaseLabel"),
        ({**CLUSTER, "parameters": {"a": 1}}, "parameters goes with template"),
        ({"template": "s3://b/{{ nothing }}.yaml"}, "'nothing' is undefined"),
        ({**CLUSTER, "lifecycle": "shared"}, "cluster.lifecycle:"),
    ],
)
def test_problem_is_named_when_the_cluster_cannot_be(cluster: dict[str, Any], message: str) -> None:
    assert message in problems(file_of(step("a"), cluster=cluster))


def test_problem_is_named_when_there_are_two_places_or_none() -> None:
    application = {"releaseLabel": "emr-7.9.0", "type": "SPARK"}

    assert "stands beside application" in problems(file_of(step("a"), application=application))
    assert "application: is missing" in problems(json.dumps({"name": "small", "jobs": [step("a")]}))


def test_problem_is_found_when_only_the_run_knows_the_value() -> None:
    groups = [{**GROUPS[0], "InstanceCount": "{{ parameters.nodes }}"}]
    text = file_of(
        step("a"), cluster={**CLUSTER, "Instances": {"InstanceGroups": groups}}, parameters={"nodes": "many"}
    )

    told = problems_of_run(text)
    assert "1 problem" in told
    assert "cluster.Instances.InstanceGroups[0].InstanceCount: must be a whole number" in told


def test_definition_is_planned_when_an_older_version_has_registered_it() -> None:
    text = json.dumps({
        "name": "small",
        "application": {"releaseLabel": "emr-7.9.0", "type": "SPARK"},
        "jobs": [{"name": "a", "jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/a.py"}}}],
    })  # fmt: skip
    definition = check_pipeline("pipelines/small.yaml", "small", text)
    del definition.data["cluster"]
    for name in ("step", "resize", "timeoutMinutes"):
        del definition.data["jobs"][0][name]

    run, (job,) = plan(Run(run_id="r", execution_arn="arn", started_at="2026-11-20T14:00:00Z"), definition, STACK)

    assert (run.on_cluster, job.on_cluster) == (False, False)


class TestSchema:
    """Editors complete the fields of RunJobFlow and StepConfig."""

    def test_file_is_valid_when_it_has_a_cluster(self) -> None:
        resize = {"name": "b", "resize": {"instanceFleet": "CORE", "TargetOnDemandCapacity": "{{ 1 + 1 }}"}}

        assert wrong_by_schema(file_of(step("a", timeoutMinutes=3), resize)) == []

    def test_file_is_invalid_when_it_has_two_places(self) -> None:
        assert wrong_by_schema(file_of(step("a"), application={"releaseLabel": "emr-7.9.0", "type": "SPARK"}))

    def test_file_is_invalid_when_a_step_has_no_jar(self) -> None:
        assert wrong_by_schema(file_of({"name": "a", "step": {"ActionOnFailure": "CONTINUE"}}))


def wrong_by_schema(text: str) -> list[Any]:
    """Return what the JSON Schema finds wrong with a file."""
    return list(Draft202012Validator(pipeline_schema()).iter_errors(json.loads(text)))
