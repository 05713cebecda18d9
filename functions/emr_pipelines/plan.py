"""A definition, parameters and a trigger become the jobs of one run: pure, so `emrp plan` shows the same."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.definition import Definition
from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.expansion import Node, expand
from emr_pipelines.graph import reversed_graph
from emr_pipelines.job_state import JobState
from emr_pipelines.parameters import parameters_of, resolve
from emr_pipelines.run import Job, Run
from emr_pipelines.service_model import (
    CREATE_APPLICATION,
    INSTANCE_FLEET,
    INSTANCE_GROUP,
    RUN_JOB_FLOW,
    START_JOB_RUN,
    STEP,
    Operation,
    check_request,
)
from emr_pipelines.stack import Stack
from emr_pipelines.template_language import evaluate
from emr_pipelines.templates import Rendered, dotted, render

# What of a definition is ours; everything else is AWS's request.
OUR_APPLICATION_FIELDS = frozenset({"lifecycle", "applicationId"})
TEMPLATE_FIELDS = frozenset({"template", "parameters"})
OUR_CLUSTER_FIELDS = frozenset({"lifecycle", "clusterId"}) | TEMPLATE_FIELDS
REQUEST_FIELDS = frozenset({"step", "resize"})
OUR_JOB_FIELDS = REQUEST_FIELDS | {"name", "dependsOn", "runIf", "forEach", "maxConcurrency", "jobs", "timeoutMinutes"}

# What a job may resize by its name, in the words of the integration of Step Functions with EMR.
RESIZES = {"instanceFleet": INSTANCE_FLEET, "instanceGroup": INSTANCE_GROUP}

MOST_JOBS = 1_000  # as many names as fit well into the payloads of the state machine
MOST_DEPENDENCIES = 100_000

Scope = Mapping[str, Any]


def plan(run: Run, definition: Definition, stack: Stack) -> tuple[Run, list[Job]]:
    """Render a definition for a run; raises InvalidPipelineError with every problem.

    A run that has an origin (a repair) writes where that one has written.
    """
    problems: list[Problem] = []
    parameters = resolve(parameters_of(definition.data), run.parameters, problems)
    _raise_any(problems, definition)  # each template would complain about the same parameter
    origin = run.origin or run.run_id
    output = f"s3://{stack.bucket}/output/{definition.name}/{origin}"
    run = replace(run, pipeline=definition.name, parameters=parameters, origin=origin, output=output)
    scope = {
        "trigger": run.trigger,
        "parameters": parameters,
        "run": {"id": origin, "output": output},
        "stack": {"name": stack.name, "bucket": stack.bucket},
    }
    nodes = _nodes(definition, scope)
    run = _with_settings(run, definition, stack, scope, problems)
    jobs = [_job(node, run, stack, scope, problems) for node in nodes]
    _raise_any(problems, definition)
    return run, _connected(jobs)


def request_of(fields: Mapping[str, Any], ours: frozenset[str]) -> dict[str, Any]:
    """Return what AWS gets of an application or a job in a definition."""
    return {name: value for name, value in fields.items() if name not in ours}


def _with_settings(run: Run, definition: Definition, stack: Stack, scope: Scope, problems: list[Problem]) -> Run:
    data = definition.data
    timeout = data["timeoutMinutes"]
    if data.get("cluster"):  # not in a file that an older version has registered
        run = _with_cluster(run, data["cluster"], stack, scope, problems)
    else:
        run = _with_application(run, data["application"], stack, scope, problems)
    deadline = datetime.fromisoformat(run.started_at) + timedelta(minutes=timeout) if timeout else None
    return replace(
        run,
        pipeline_file=definition.file,
        pipeline_version=definition.version,
        deadline=iso_time(deadline) if deadline else None,
        fail_fast=data["failFast"],
        concurrency=data["concurrency"] or {},
        expected_minutes=data.get("expectedMinutes"),  # not in a file that an older version has registered
        notify_on=list(data["notifications"]["on"]),
        notify_topics=list(data["notifications"].get("topics", [])),
    )


def _with_application(
    run: Run, application: Mapping[str, Any], stack: Stack, scope: Scope, problems: list[Problem]
) -> Run:
    lifecycle = application["lifecycle"]
    request: dict[str, Any] = {}
    if lifecycle != "existing":
        asked = request_of(application, OUR_APPLICATION_FIELDS)
        rendered = render(asked, CREATE_APPLICATION, scope, "application", problems)
        of_run = {"run": run.run_id} if lifecycle == "transient" else {}
        request = with_tags(
            {"name": f"emr-pipelines-{run.pipeline}", **rendered.request}, stack.tags(pipeline=run.pipeline, **of_run)
        )
        problems += _check(CREATE_APPLICATION, request, "application", rendered)
    return replace(run, application=request, lifecycle=lifecycle, application_id=application["applicationId"])


def _with_cluster(run: Run, cluster: Mapping[str, Any], stack: Stack, scope: Scope, problems: list[Problem]) -> Run:
    asked = request_of(cluster, frozenset({"lifecycle"}))
    asked = {name: value for name, value in asked.items() if value is not None}
    rendered = render(asked, RUN_JOB_FLOW, scope, "cluster", problems)
    request = rendered.request
    if cluster["lifecycle"] == "transient" and "template" not in request:
        request = {
            "Name": f"emr-pipelines-{run.pipeline}",
            "LogUri": f"s3://{stack.bucket}/logs/",
            "ServiceRole": stack.cluster_service_role,
            "JobFlowRole": stack.cluster_instance_profile,
            **request,
        }
        problems += _check(RUN_JOB_FLOW, request, "cluster", rendered)
        if problems:
            return replace(run, cluster=request)  # what has no right shape cannot be completed
        request["Instances"] = {**request["Instances"], "KeepJobFlowAliveWhenNoSteps": True}
    if cluster["lifecycle"] == "transient":
        request = assigned_cluster(request, run, stack)
    return replace(run, cluster=request, lifecycle=cluster["lifecycle"], application_id=request.get("clusterId"))


def _nodes(definition: Definition, scope: Scope) -> list[Node]:
    problems: list[Problem] = []
    loops = _loops(definition.data["jobs"], scope, problems)
    _raise_any(problems, definition)
    nodes = expand(definition.data["jobs"], loops)
    _raise_any(list(_too_much(nodes)), definition)
    return nodes


def _loops(jobs: Sequence[Mapping[str, Any]], scope: Scope, problems: list[Problem]) -> dict[str, list[Any]]:
    """Return the values of each forEach."""
    loops = {}
    for index, job in enumerate(jobs):
        for variable, values in (job["forEach"] or {}).items():
            path = f"jobs[{index}].forEach.{variable}"
            try:
                loops[job["name"]] = _values(values, scope)
            except ValueError as error:
                problems.append(Problem(path, str(error)))
    return loops


def _values(values: Any, scope: Scope) -> list[Any]:  # noqa: ANN401 - a list or a template
    if isinstance(values, list):
        return [evaluate(value, scope) if isinstance(value, str) else value for value in values]
    text = evaluate(values, scope)
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = text
    if not isinstance(read, list):
        raise ValueError(f"must give a list, not {text[:100]}")  # noqa: TRY004 - a problem of the file
    return read


def _job(node: Node, run: Run, stack: Stack, scope: Scope, problems: list[Problem]) -> Job:
    job = Job(
        run_id=run.run_id,
        pipeline=run.pipeline,
        name=node.name,
        definition=node.definition["name"],
        position=node.position,
        request={},
        loop=node.loop,
        item=node.item,
        run_if=node.run_if,
        upstream=list(node.upstream),
        after=list(node.after),
    )
    if node.skipped:
        job = replace(job, state=JobState.SKIPPED, state_details=node.skipped, ended_at=run.started_at)
        if node.definition["forEach"]:  # it stands for all iterations, so there is no request
            return job
    output_uri = f"{run.output}/_outputs/{node.name}.json"
    of_job = {"job": {"name": node.name, "outputUri": output_uri}, "item": node.item}
    found: list[Problem] = []
    if run.on_cluster:
        job = _step(job, node, {**scope, **of_job}, found)
    else:
        job = _job_run(job, node, stack, {**scope, **of_job}, found)
    problems += _once(found, node, {problem.path for problem in problems})
    return replace(job, output_uri=output_uri)


def _job_run(job: Job, node: Node, stack: Stack, scope: Scope, problems: list[Problem]) -> Job:
    """Return a job with the request by which it becomes a job run of an application."""
    asked = request_of(node.definition, OUR_JOB_FIELDS)
    rendered = render(asked, START_JOB_RUN, scope, node.path, problems)
    request = _job_run_request(rendered.request, job, stack)
    problems += _check(START_JOB_RUN, request, node.path, rendered)
    return replace(job, request=request, deferred=rendered.deferred, log_uri=_log_uri(request))


def _step(job: Job, node: Node, scope: Scope, problems: list[Problem]) -> Job:
    """Return a job with the request by which it becomes a step of a cluster, or resizes a part of it."""
    resize = node.definition.get("resize")
    if resize is None:
        path, operation, asked = f"{node.path}.step", STEP, {"ActionOnFailure": "CONTINUE", **node.definition["step"]}
    else:
        path, (kind,) = f"{node.path}.resize", RESIZES.keys() & resize.keys()
        operation, asked = RESIZES[kind], request_of(resize, frozenset({kind}))
    rendered = render(asked, operation, scope, path, problems)
    problems += _check(operation, rendered.request, path, rendered)
    request: dict[str, Any] = {
        str(operation.part[0]): [rendered.request] if len(operation.part) > 1 else rendered.request
    }
    if resize is not None:
        name = render({kind: resize[kind]}, operation, scope, path, problems).request[kind]
        request[f"{kind[0].upper()}{kind[1:]}Name"] = name
    before = dotted(operation.part)
    return replace(
        job,
        request=assigned(request, job.name, job.run_id, {}),
        deferred=[f"{before}.{place}" for place in rendered.deferred],
        timeout_minutes=node.definition.get("timeoutMinutes"),
    )


def _job_run_request(request: dict[str, Any], job: Job, stack: Stack) -> dict[str, Any]:
    overrides = request.get("configurationOverrides", {})
    monitoring = overrides.get("monitoringConfiguration", {})
    logs = {"s3MonitoringConfiguration": {"logUri": f"s3://{stack.bucket}/logs/"}}
    request = {
        "executionRoleArn": stack.job_role_arn,
        **request,
        "name": job.name,
        "configurationOverrides": {**overrides, "monitoringConfiguration": {**logs, **monitoring}},
    }
    return assigned(request, job.name, job.run_id, stack.tags(pipeline=job.pipeline, run=job.run_id, job=job.name))


def with_tags(request: dict[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """Return a request of EMR Serverless with tags besides its own."""
    return {**request, "tags": {**request.get("tags", {}), **tags}}


def assigned_cluster(request: dict[str, Any], run: Run, stack: Stack) -> dict[str, Any]:
    """Return the request for a cluster with whose it is: tags, and for a template the name that its stack gets."""
    ours = stack.tags(pipeline=run.pipeline, run=run.run_id)
    tags = [tag for tag in request.get("Tags", []) if tag.get("Key") not in ours]
    tags += [{"Key": key, "Value": value} for key, value in ours.items()]
    assigned = {**request, "Tags": tags}
    if "template" in request:  # the name of an execution has characters that the name of a stack may not have
        assigned["StackName"] = f"{stack.name}-run-{hashlib.sha256(run.run_id.encode()).hexdigest()[:16]}"
    return assigned


def assigned(request: dict[str, Any], job: str, run_id: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the request of a job with whose it is, by which it can be found on EMR: in tags, or a step's name."""
    match request:
        case {"Steps": [step]}:
            return {**request, "Steps": [{**step, "Name": f"{job} ({run_id})"}]}
        case {"jobDriver": _}:
            return with_tags(request, tags)
        case _:  # what changes the size of a cluster may be repeated
            return request


def _log_uri(request: dict[str, Any]) -> str | None:
    monitoring = request["configurationOverrides"]["monitoringConfiguration"]
    uri: str | None = monitoring["s3MonitoringConfiguration"].get("logUri")
    return uri


def _check(operation: Operation, request: Mapping[str, Any], path: str, rendered: Rendered) -> Iterator[Problem]:
    return check_request(operation, request, path, [*rendered.deferred, *rendered.failed])


def _once(found: list[Problem], node: Node, reported: set[str]) -> Iterator[Problem]:
    """Yield the problems that no other iteration of a loop has, and say which iteration it is."""
    for problem in found:
        if problem.path not in reported:
            where = f" (in {node.name}, where item is {json.dumps(node.item)})" if node.loop else ""
            yield Problem(problem.path, problem.message + where)


def _too_much(nodes: Sequence[Node]) -> Iterator[Problem]:
    if len(nodes) > MOST_JOBS:
        yield Problem(
            "jobs", f"become {len(nodes)} job runs; a run can have {MOST_JOBS}, so start several runs instead"
        )
    dependencies = sum(len(node.upstream) + len(node.after) for node in nodes)
    if dependencies > MOST_DEPENDENCIES:
        yield Problem(
            "jobs",
            f"have {dependencies} dependencies; a run can have {MOST_DEPENDENCIES}: where all jobs of one loop depend "
            "on all of another, put one job between them",
        )


def _connected(jobs: Sequence[Job]) -> list[Job]:
    dependents = reversed_graph({job.name: [*job.upstream, *job.after] for job in jobs})
    skipped = {job.name for job in jobs if job.ended}
    return [
        replace(
            job,
            dependents=dependents[job.name],
            waiting_for=[name for name in [*job.upstream, *job.after] if name not in skipped],
        )
        for job in jobs
    ]


def _raise_any(problems: Sequence[Problem], definition: Definition) -> None:
    if problems:
        found = [Problem(problem.path, problem.message, definition.line_of(problem.path)) for problem in problems]
        raise InvalidPipelineError(definition.file, found)
