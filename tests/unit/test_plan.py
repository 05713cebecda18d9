"""A definition becomes the jobs of a run: rendered requests, loops unrolled, dependencies drawn between them."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from emr_pipelines.graph import ancestors
from emr_pipelines.job_state import JobState
from emr_pipelines.run import Job
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import ROOT
from tests.unit.pipeline_files import DRIVER, HEAD, MINIMAL, arguments, file_of, job, planned, problems_of_run


def jobs_of(text: str, **run: Any) -> dict[str, Job]:
    """Return the jobs of a run by name."""
    return {found.name: found for found in planned(text, **run)[1]}


def upstream(jobs: dict[str, Job]) -> dict[str, list[str]]:
    """Return what each job depends on."""
    return {name: found.upstream for name, found in jobs.items()}


def test_plan_fills_the_run_in_when_a_file_says_all_about_it() -> None:
    text = file_of(
        job("only"),
        parameters={"top": 10},
        application={"releaseLabel": "emr-7.9.0", "type": "SPARK", "lifecycle": "transient", "name": "{{ run.id }}-x"},
        concurrency={"limit": 2},
        failFast=True,
        timeoutMinutes=90,
        notifications={"on": ["FAILED", "SKIPPED"]},
    )

    run, (only,) = planned(text, parameters={"top": "3"})

    assert (run.pipeline_file, run.pipeline_version) == ("pipelines/small.yaml", "v1")
    assert (run.parameters, run.origin, run.output) == ({"top": 3}, "r", "s3://bucket/output/small/r")
    assert (run.lifecycle, run.application_id, run.fail_fast) == ("transient", None, True)
    assert run.application["name"] == "r-x"
    assert run.application["tags"] == {
        "emr-pipelines:stack": "emr-pipelines",
        "emr-pipelines:pipeline": "small",
        "emr-pipelines:run": "r",
    }
    assert run.concurrency == {"limit": 2, "policy": "queue"}
    assert run.deadline == "2026-11-20T15:30:00.000000Z"
    assert run.notify_on == ["FAILED", "SKIPPED"]
    assert (only.definition, only.output_uri) == ("only", "s3://bucket/output/small/r/_outputs/only.json")
    assert only.request["tags"] == {
        "emr-pipelines:stack": "emr-pipelines",
        "emr-pipelines:pipeline": "small",
        "emr-pipelines:run": "r",
        "emr-pipelines:job": "only",
    }


def test_plan_keeps_what_the_file_says_when_the_stack_has_a_default() -> None:
    text = MINIMAL + (
        "    executionRoleArn: arn:aws:iam::123456789012:role/mine\n"
        "    configurationOverrides:\n"
        "      monitoringConfiguration: {s3MonitoringConfiguration: {logUri: s3://mine/logs}}\n"
        "    tags: {team: data}\n"
    )

    only = jobs_of(text)["only"]

    assert only.request["executionRoleArn"] == "arn:aws:iam::123456789012:role/mine"
    assert only.log_uri == "s3://mine/logs"
    assert only.request["tags"]["team"] == "data"


def test_plan_needs_no_application_request_when_the_application_exists() -> None:
    text = MINIMAL.replace("{releaseLabel: emr-7.9.0, type: SPARK}", "{lifecycle: existing, applicationId: 00f1abc}")

    run, _ = planned(text)

    assert (run.lifecycle, run.application_id, run.application) == ("existing", "00f1abc", {})


def test_plan_writes_where_the_first_run_has_written_when_it_is_a_repair() -> None:
    text = file_of(job("only", jobDriver=arguments("{{ run.id }}", "{{ run.output }}", "{{ job.outputUri }}")))

    run, (only,) = planned(text, origin="first")

    assert (run.run_id, run.output) == ("r", "s3://bucket/output/small/first")
    assert only.request["jobDriver"]["sparkSubmit"]["entryPointArguments"] == [
        "first",
        "s3://bucket/output/small/first",
        "s3://bucket/output/small/first/_outputs/only.json",
    ]


def test_plan_puts_jobs_after_their_upstream_when_the_file_does_not() -> None:
    text = file_of(job("last", dependsOn=["b", "a"], runIf="ALL_DONE"), job("a"), job("b", dependsOn=["a"]))

    jobs = jobs_of(text)

    assert [(found.name, found.position) for found in jobs.values()] == [("a", 0), ("b", 1), ("last", 2)]
    assert upstream(jobs) == {"a": [], "b": ["a"], "last": ["b", "a"]}
    assert jobs["a"].dependents == ["b", "last"]
    assert jobs["last"].waiting_for == ["b", "a"]
    assert jobs["last"].run_if == "ALL_DONE"


GROUP = {
    "name": "loop",
    "dependsOn": ["first"],
    "forEach": {"mode": "{{ parameters.modes }}"},
    "jobs": [
        job("pre", jobDriver=arguments("{{ item.mode }}", "{{ previous.output.rows | default(0) }}")),
        job("model", dependsOn=["pre"], jobDriver=arguments("{{ jobs['pre'].output.rows }}", "{{ job.name }}")),
        job("check", dependsOn=["pre"], runIf="ANY_FAILED"),
    ],
}


def grouped(modes: Sequence[object] = ("TRAINING", "SCORING"), **fields: Any) -> str:
    """Return the pipeline of the article: two jobs for each mode, and a report."""
    return file_of(
        job("first"), {**GROUP, **fields}, job("report", dependsOn=["loop"]), parameters={"modes": list(modes)}
    )


def test_plan_repeats_a_group_in_sequence_when_nothing_else_is_said() -> None:
    jobs = jobs_of(grouped())

    assert upstream(jobs) == {
        "first": [],
        "pre.1": ["first"],
        "model.1": ["pre.1"],
        "check.1": ["pre.1"],
        "pre.2": ["first", "model.1", "check.1"],
        "model.2": ["pre.2"],
        "check.2": ["pre.2"],
        "report": ["model.1", "check.1", "model.2", "check.2"],
    }
    assert all(found.after == [] for found in jobs.values())
    assert (jobs["pre.2"].definition, jobs["pre.2"].loop, jobs["pre.2"].item) == ("pre", "loop", {"mode": "SCORING"})
    assert jobs["check.2"].run_if == "ANY_FAILED"
    assert jobs["pre.2"].request["jobDriver"]["sparkSubmit"]["entryPointArguments"][0] == "SCORING"
    assert jobs["pre.2"].deferred == ["jobDriver.sparkSubmit.entryPointArguments[1]"]
    assert jobs["model.1"].deferred == ["jobDriver.sparkSubmit.entryPointArguments[0]"]
    assert jobs["model.1"].request["jobDriver"]["sparkSubmit"]["entryPointArguments"][1] == "model.1"
    assert jobs["model.1"].request["name"] == "model.1"
    assert jobs["model.1"].output_uri == "s3://bucket/output/small/r/_outputs/model.1.json"


def test_plan_only_orders_iterations_when_several_run_at_the_same_time() -> None:
    loop = job("part", dependsOn=["first"], forEach={"n": [1, 2, 3, 4, 5]}, maxConcurrency=2, runIf="ALL_DONE")

    jobs = jobs_of(file_of(job("first"), loop, job("merge", dependsOn=["part"])))

    assert {name: found.after for name, found in jobs.items() if found.after} == {
        "part.3": ["part.1"],
        "part.4": ["part.2"],
        "part.5": ["part.3"],
    }
    assert all(jobs[f"part.{number}"].upstream == ["first"] for number in range(1, 6))
    assert jobs["part.3"].waiting_for == ["first", "part.1"]
    assert jobs["part.1"].dependents == ["part.3", "merge"]
    assert jobs["part.3"].run_if == "ALL_DONE"
    assert jobs["merge"].upstream == [f"part.{number}" for number in range(1, 6)]


def test_plan_gives_the_group_s_run_if_to_its_first_jobs_when_it_has_one() -> None:
    jobs = jobs_of(grouped(runIf="AT_LEAST_ONE_SUCCESS"))

    assert {name: found.run_if for name, found in jobs.items() if found.loop} == {
        "pre.1": "AT_LEAST_ONE_SUCCESS",
        "model.1": "ALL_SUCCESS",
        "check.1": "ANY_FAILED",
        "pre.2": "AT_LEAST_ONE_SUCCESS",
        "model.2": "ALL_SUCCESS",
        "check.2": "ANY_FAILED",
    }


@pytest.mark.parametrize("text", [grouped([]), grouped(["x"]).replace('"{{ parameters.modes }}"', "[]")])
def test_plan_skips_a_loop_when_its_list_is_empty(text: str) -> None:
    jobs = jobs_of(text)

    loop = jobs["loop"]
    assert (loop.state, loop.state_details) == (JobState.SKIPPED, "forEach: mode is an empty list.")
    assert (loop.request, loop.upstream, loop.dependents, loop.ended) == ({}, [], [], True)
    assert upstream(jobs) == {"first": [], "loop": [], "report": ["first"]}
    assert jobs["first"].dependents == ["report"]


def test_plan_looks_through_several_empty_loops_when_they_follow_each_other() -> None:
    empty: dict[str, Any] = {"forEach": {"x": []}}
    text = file_of(
        job("a"),
        job("b", dependsOn=["a"], **empty),
        job("c", dependsOn=["b"], **empty),
        job("d", dependsOn=["c"]),
        job("e", **empty),
        job("f", dependsOn=["e"], runIf="AT_LEAST_ONE_SUCCESS"),
        job("g", dependsOn=["e"], runIf="ANY_FAILED"),
        job("h", dependsOn=["g"]),
    )

    jobs = jobs_of(text)

    assert jobs["d"].upstream == ["a"]
    assert (jobs["f"].upstream, jobs["f"].run_if) == ([], "ALL_SUCCESS")
    assert (jobs["g"].state, jobs["g"].request["name"]) == (JobState.SKIPPED, "g")
    assert (jobs["h"].upstream, jobs["h"].waiting_for) == (["g"], [])


@pytest.mark.parametrize(
    ("for_each", "expected"),
    [
        ("{{ parameters.names.split(',') }}", ["a", "b"]),
        ('["x", {"y": 1}]', ["x", {"y": 1}]),
        ("{{ trigger.files | default([1]) }}", [1]),
        (["{{ parameters.names }}", 2, True], ["a,b", 2, True]),
    ],
)
def test_plan_reads_the_values_of_a_loop_when_they_are_written_in_any_way(for_each: Any, expected: list[Any]) -> None:
    text = file_of(job("part", forEach={"x": for_each}), parameters={"names": "a,b"})

    assert [found.item["x"] for found in planned(text)[1]] == expected


@pytest.mark.parametrize(
    ("for_each", "expected"),
    [
        ("{{ parameters.top }}", "jobs[0].forEach.x: must give a list, not 10"),
        ("abc", "jobs[0].forEach.x: must give a list, not abc"),
        ("[" * 100_000, "jobs[0].forEach.x: must give a list, not ["),
        ("{{ trigger.files }}", "jobs[0].forEach.x: there is no 'files'"),
    ],
)
def test_plan_refuses_a_loop_when_it_gives_no_list(for_each: str, expected: str) -> None:
    assert expected in problems_of_run(file_of(job("part", forEach={"x": for_each}), parameters={"top": 10}))


def test_plan_names_the_iteration_when_only_some_of_them_cannot_be_rendered() -> None:
    text = file_of(job("part", forEach={"x": [{"a": 1}, {"b": 2}, {}]}, jobDriver=arguments("{{ item.x.a }}")))

    message = problems_of_run(text)

    assert "has 1 problem:" in message
    assert "entryPointArguments[0]: there is no 'a'; did you mean" not in message
    assert '(in part.2, where item is {"x": {"b": 2}})' in message


def test_plan_names_known_parameters_when_one_is_unknown() -> None:
    message = problems_of_run(file_of(job("only"), parameters={"top": 1, "input": "x"}), parameters={"tops": 3})

    assert 'parameters.tops: is not a parameter of this pipeline; did you mean "top"?' in message


def test_plan_checks_the_request_again_when_its_texts_are_known() -> None:
    text = HEAD + (
        "parameters: {minutes: soon, release: 7.9.0}\njobs:\n  - name: only\n"
        f'    executionTimeoutMinutes: "{{{{ parameters.minutes }}}}"\n    {DRIVER}\n'
    )

    message = problems_of_run(text.replace("emr-7.9.0", "'{{ parameters.release }}!'"))

    assert "line 6: jobs[0].executionTimeoutMinutes: must be a whole number, not text" in message
    assert 'line 2: application.releaseLabel: "7.9.0!" does not match' in message


def test_plan_takes_a_text_of_a_person_as_it_is_when_it_looks_like_a_template() -> None:
    text = file_of(job("only", jobDriver=arguments("{{ parameters.text }}")), parameters={"text": "x"})

    (only,) = planned(text, parameters={"text": "{{ jobs['x'].output }}"})[1]

    assert only.request["jobDriver"]["sparkSubmit"]["entryPointArguments"] == ["{{ jobs['x'].output }}"]
    assert only.deferred == []


def test_plan_refuses_a_run_when_it_has_too_many_jobs_or_dependencies() -> None:
    many = file_of(job("part", forEach={"x": list(range(1001))}))
    dense = file_of(*(job(f"p{i}", forEach={"x": list(range(400))}, maxConcurrency=9,
                          **({"dependsOn": [f"p{i - 1}"]} if i else {})) for i in range(2)))  # fmt: skip

    assert "jobs: become 1001 job runs; a run can have 1000" in problems_of_run(many)
    assert "dependencies; a run can have 100000" in problems_of_run(dense)


def test_plan_needs_no_time_when_there_is_no_time_limit() -> None:
    run, _ = planned(MINIMAL, started_at=datetime.now(UTC).isoformat())

    assert run.deadline is None


@st.composite
def pipelines(draw: st.DrawFn) -> str:
    """Return any good pipeline: jobs, loops and groups that depend on each other."""
    jobs: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 6))):
        names = [other["name"] for other in jobs]
        fields: dict[str, Any] = {"dependsOn": draw(st.lists(st.sampled_from(names), unique=True)) if names else []}
        kind = draw(st.sampled_from(["job", "loop", "group"]))
        if fields["dependsOn"]:
            fields["runIf"] = draw(st.sampled_from(["ALL_SUCCESS", "ALL_DONE", "AT_LEAST_ONE_SUCCESS", "ANY_FAILED"]))
        if kind != "job":
            fields["forEach"] = {"x": draw(st.lists(st.integers(0, 9), max_size=4))}
            fields["maxConcurrency"] = draw(st.integers(1, 3))
        if kind == "group":
            members: list[dict[str, Any]] = []
            for inner in range(draw(st.integers(1, 3))):
                others = [other["name"] for other in members]
                before = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
                members.append(job(f"m{index}{inner}", dependsOn=before))
            jobs.append({"name": f"g{index}", "jobs": draw(st.permutations(members)), **fields})
        else:
            jobs.append(job(f"j{index}", **fields))
    return file_of(*draw(st.permutations(jobs)))


@given(text=pipelines())
def test_plan_is_consistent_when_a_pipeline_is_any_mixture_of_loops_and_groups(text: str) -> None:
    jobs = jobs_of(text)

    assert [found.position for found in jobs.values()] == list(range(len(jobs)))
    for name, found in jobs.items():
        before = [*found.upstream, *found.after]
        assert len(set(before)) == len(before)
        assert all(jobs[other].position < found.position for other in before)
        assert all(name in jobs[other].dependents for other in before)
        assert all(name in [*jobs[other].upstream, *jobs[other].after] for other in found.dependents)
        assert found.waiting_for == [other for other in before if jobs[other].state != JobState.SKIPPED]
        assert found.ended == (found.state == JobState.SKIPPED)
        assert found.request or (found.ended and found.loop is None)


@given(width=st.integers(1, 4), count=st.integers(1, 7))
def test_plan_lets_so_many_iterations_run_as_are_allowed_when_a_group_is_repeated(width: int, count: int) -> None:
    jobs = jobs_of(grouped(list(range(count)), maxConcurrency=width).replace("previous.output.rows", "run.id"))
    before = ancestors({name: [*found.upstream, *found.after] for name, found in jobs.items()})

    for number in range(1, count + 1):
        ended = {name.partition(".")[2] for name in before[f"pre.{number}"] if "." in name}
        assert ended == {str(other) for other in range(number - width, 0, -width)}


def test_planning_needs_neither_models_nor_yaml_when_a_run_starts() -> None:
    """They would cost each cold start of `plan_run` some tenths of a second."""
    program = "import sys, emr_pipelines.plan_run; print({'pydantic', 'yaml'} & set(sys.modules))"

    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, timeout=60, check=True
    )

    assert finished.stdout.strip() == "set()"
