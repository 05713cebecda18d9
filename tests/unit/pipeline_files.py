"""Small pipeline files for tests, and what becomes of them."""

import json
from typing import Any

import pytest
from emr_pipelines.errors import InvalidPipelineError
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.plan import plan
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack

STACK = Stack("emr-pipelines", "bucket", "arn:aws:iam::123456789012:role/job")
HEAD = """\
name: small
application: {releaseLabel: emr-7.9.0, type: SPARK}
"""
DRIVER = "jobDriver: {sparkSubmit: {entryPoint: s3://b/job.py}}"
MINIMAL = f"{HEAD}jobs:\n  - name: only\n    {DRIVER}\n"


def job(name: str, **fields: Any) -> dict[str, Any]:
    """Return a job of a definition."""
    return {"name": name, "jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/job.py"}}, **fields}


def arguments(*texts: str) -> dict[str, Any]:
    """Return a job driver with arguments."""
    return {"sparkSubmit": {"entryPoint": "s3://b/job.py", "entryPointArguments": list(texts)}}


def file_of(*jobs: dict[str, Any], **fields: Any) -> str:
    """Return a pipeline file with these jobs."""
    application = {"releaseLabel": "emr-7.9.0", "type": "SPARK"}
    return json.dumps({"name": "small", "application": application, "jobs": jobs, **fields}, indent=1)


def planned(text: str, **run: Any) -> tuple[Run, list[Job]]:
    """Plan a pipeline file for the run `r`."""
    started = {"run_id": "r", "pipeline": "small", "execution_arn": "arn", "started_at": "2026-11-20T14:00:00Z"}
    return plan(Run(**{**started, **run}), check_pipeline("pipelines/small.yaml", None, text, "v1"), STACK)


def problems(text: str, name: str | None = None) -> str:
    """Return the error that a pipeline file leads to when it is checked."""
    with pytest.raises(InvalidPipelineError) as caught:
        check_pipeline("pipelines/small.yaml", name, text)
    return str(caught.value)


def problems_of_run(text: str, **run: Any) -> str:
    """Return the error that a good pipeline file leads to in a run."""
    check_pipeline("pipelines/small.yaml", None, text)
    with pytest.raises(InvalidPipelineError) as caught:
        planned(text, **run)
    return str(caught.value)
