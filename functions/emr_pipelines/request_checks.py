"""Checks of what is AWS's in a pipeline file: the application or cluster, and what each job asks of it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from emr_pipelines.errors import Problem
from emr_pipelines.plan import OUR_APPLICATION_FIELDS, OUR_CLUSTER_FIELDS, OUR_JOB_FIELDS, RESIZES, request_of
from emr_pipelines.service_model import (
    CREATE_APPLICATION,
    RUN_JOB_FLOW,
    START_JOB_RUN,
    STEP,
    Operation,
    check_request,
)
from emr_pipelines.templates import dotted, templates_in

_ROLE = "arn:aws:iam::123456789012:role/that-the-stack-fills-in"


def check_place(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with where the jobs of a file run."""
    places = {name for name in ("application", "cluster") if data.get(name) is not None}
    application, cluster = _fields(data.get("application")), _fields(data.get("cluster"))
    if len(places) > 1:
        yield Problem("cluster", "stands beside application; the jobs of a pipeline run on one of them")
    elif not places:
        yield Problem("application", "is missing; a pipeline has an application, or a cluster")
    if application and application.get("lifecycle") != "existing":
        request = request_of(application, OUR_APPLICATION_FIELDS)
        yield from _check(CREATE_APPLICATION, request, "application", OUR_APPLICATION_FIELDS)
        yield from _check_release(request.get("releaseLabel"), "application.releaseLabel")
    if isinstance(data.get("cluster"), dict) and cluster.get("lifecycle") != "existing" and not cluster.get("template"):
        request = {"Name": "cluster", **request_of(cluster, OUR_CLUSTER_FIELDS)}
        yield from _check(RUN_JOB_FLOW, request, "cluster", OUR_CLUSTER_FIELDS)
        yield from _check_release(request.get("ReleaseLabel"), "cluster.ReleaseLabel")
        if _fields(request.get("Instances")).get("KeepJobFlowAliveWhenNoSteps") is False:
            path = "cluster.Instances.KeepJobFlowAliveWhenNoSteps"
            yield Problem(path, "must be left out: the cluster waits for the jobs of the run, and goes with it")


def _check_release(label: object, path: str) -> Iterator[Problem]:
    if isinstance(label, str) and re.fullmatch(r"(?!emr-)[\w./-]+", label):
        yield Problem(path, f'must begin with emr-, as in emr-7.9.0, not "{label}"')


def check_job(data: Mapping[str, Any], job: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Yield what is wrong with the request of a job."""
    job = {name: value for name, value in job.items() if value is not None}
    if data.get("cluster") is not None:
        yield from _check_job_of_cluster(job, path)
    else:
        yield from _check_job_run(job, path, str(_fields(data.get("application")).get("type", "")))


def _check_job_run(job: Mapping[str, Any], path: str, application_type: str) -> Iterator[Problem]:
    request = request_of(job, OUR_JOB_FIELDS)
    yield from _check(START_JOB_RUN, {"executionRoleArn": _ROLE, **request}, path, OUR_JOB_FIELDS)
    for name in ("step", "resize"):
        if name in job:
            yield Problem(f"{path}.{name}", "goes with cluster; a job of an application has a jobDriver")
    if "timeoutMinutes" in job:
        yield Problem(f"{path}.timeoutMinutes", "goes with step; of a job run it is executionTimeoutMinutes")
    driver = _fields(request.get("jobDriver"))
    wanted = {"SPARK": "sparkSubmit", "HIVE": "hive"}.get(application_type.upper())
    if "jobDriver" not in request:
        yield Problem(path, '"jobDriver" is missing: give it sparkSubmit or hive')
    elif wanted and len(driver) == 1 and wanted not in driver:
        yield Problem(f"{path}.jobDriver", f"must be {wanted}: the application's type is {application_type}")
    program = _fields(driver.get("sparkSubmit")).get("entryPoint")
    if isinstance(program, str) and re.match(r"\w[^:{]*$", program):  # a path in an image begins with a slash
        example = f"s3://{{{{ stack.bucket }}}}/{program}"
        yield Problem(f"{path}.jobDriver.sparkSubmit.entryPoint", f'must be an address, as in "{example}"')


def _check_job_of_cluster(job: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for name in request_of(job, OUR_JOB_FIELDS):
        yield Problem(f"{path}.{name}", "goes with application; a job of a cluster has a step (or resize)")
    if "step" not in job and "resize" not in job:
        yield Problem(path, '"step" is missing: give it HadoopJarStep, as with Jar: command-runner.jar')
    elif "step" in job and "resize" in job:
        yield Problem(f"{path}.resize", "stands beside step; make it a job of its own")
    if isinstance(job.get("step"), dict):
        yield from _check(STEP, job["step"], f"{path}.step")
    if isinstance(job.get("resize"), dict):
        yield from _check_resize(job["resize"], f"{path}.resize")
        if "timeoutMinutes" in job:
            yield Problem(f"{path}.timeoutMinutes", "goes with step; EMR resizes in the background")


def _check_resize(resize: Mapping[str, Any], path: str) -> Iterator[Problem]:
    kinds = RESIZES.keys() & resize.keys()
    if len(kinds) != 1:
        yield Problem(path, f"must have exactly one of {', '.join(RESIZES)}, the name of what is resized")
        return
    (kind,) = kinds
    if not isinstance(resize[kind], str):
        yield Problem(f"{path}.{kind}", "must be the name of what is resized")
    yield from _check(RESIZES[kind], request_of(resize, frozenset(RESIZES)), path, RESIZES)


def _check(
    operation: Operation,
    request: dict[str, Any],
    path: str,
    beside: frozenset[str] | Mapping[str, object] = frozenset(),
) -> Iterator[Problem]:
    unknown = [dotted(place) for place, _ in templates_in(request)]
    yield from check_request(operation, request, path, unknown, list(beside))


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
