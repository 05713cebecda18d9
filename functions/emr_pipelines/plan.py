"""A pipeline, parameters and a trigger become the jobs of one run: pure, so `emrp plan` shows the same."""

from dataclasses import replace
from typing import Any

from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.gateways.pipeline_bucket import StoredFile
from emr_pipelines.pipeline import JobDefinition, Pipeline, load_pipeline, located
from emr_pipelines.run import Job, Run
from emr_pipelines.service_model import check_request, input_shape
from emr_pipelines.stack import Stack
from emr_pipelines.templates import render

# Filled in by the functions when they call EMR, never by a pipeline file.
_OURS = {"clientToken": "x", "applicationId": "x"}


def plan(run: Run, file: StoredFile, stack: Stack) -> tuple[Run, list[Job]]:
    """Check a pipeline file and render it for a run; raises InvalidPipelineError with every problem."""
    pipeline, document = load_pipeline(file.key, file.name, file.text)
    problems = _unknown_parameters(pipeline, run.parameters)
    parameters = {**pipeline.parameters, **run.parameters}
    output = f"s3://{stack.bucket}/output/{run.pipeline}/{run.run_id}"
    scope = {
        "trigger": run.trigger,
        "parameters": parameters,
        "run": {"id": run.run_id, "output": output},
        "stack": {"name": stack.name, "bucket": stack.bucket},
    }
    application = {}
    if pipeline.application.lifecycle != "existing":
        application = render(pipeline.application.request, scope, "application", problems)
        application = _application_request(application, run, stack, pipeline.application.lifecycle)
        shape = input_shape("emr-serverless", "CreateApplication")
        problems += check_request(shape, {**application, "clientToken": "x"}, "application")
    jobs = []
    for position, definition in enumerate(pipeline.jobs):
        path = f"jobs[{position}]"
        request = render(definition.request, {**scope, "job": {"name": definition.name}}, path, problems)
        request = _job_run_request(request, definition, run, stack)
        problems += check_request(input_shape("emr-serverless", "StartJobRun"), {**request, **_OURS}, path)
        jobs.append(
            Job(
                run_id=run.run_id,
                pipeline=run.pipeline,
                name=definition.name,
                position=position,
                request=request,
                log_uri=_log_uri(request),
            )
        )
    if problems:
        raise InvalidPipelineError(file.key, located(document, problems))
    planned = replace(
        run,
        parameters=parameters,
        pipeline_version=file.version,
        application=application,
        lifecycle=pipeline.application.lifecycle,
        application_id=pipeline.application.application_id,
        output=output,
        notify_on=list(pipeline.notifications.on),
    )
    return planned, jobs


def _unknown_parameters(pipeline: Pipeline, given: dict[str, Any]) -> list[Problem]:
    known = ", ".join(pipeline.parameters) or "none"
    return [
        Problem(f"parameters.{name}", f"is not a parameter of this pipeline; it has: {known}")
        for name in given
        if name not in pipeline.parameters
    ]


def _application_request(request: dict[str, Any], run: Run, stack: Stack, lifecycle: str) -> dict[str, Any]:
    of_run = {"run": run.run_id} if lifecycle == "transient" else {}
    tags = stack.tags(pipeline=run.pipeline, **of_run)
    return {"name": f"emr-pipelines-{run.pipeline}", **request, "tags": {**request.get("tags", {}), **tags}}


def _job_run_request(request: dict[str, Any], definition: JobDefinition, run: Run, stack: Stack) -> dict[str, Any]:
    tags = stack.tags(pipeline=run.pipeline, run=run.run_id, job=definition.name)
    overrides = request.get("configurationOverrides", {})
    monitoring = overrides.get("monitoringConfiguration", {})
    logs = {"s3MonitoringConfiguration": {"logUri": f"s3://{stack.bucket}/logs/"}}
    return {
        "executionRoleArn": stack.job_role_arn,
        **request,
        "name": definition.name,
        "tags": {**request.get("tags", {}), **tags},
        "configurationOverrides": {**overrides, "monitoringConfiguration": {**logs, **monitoring}},
    }


def _log_uri(request: dict[str, Any]) -> str | None:
    monitoring = request["configurationOverrides"]["monitoringConfiguration"]
    uri: str | None = monitoring["s3MonitoringConfiguration"].get("logUri")
    return uri
