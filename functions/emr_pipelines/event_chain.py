"""Pipelines that start each other by events: which pipelines led to an event, so that a loop can be refused."""

from typing import Any

from emr_pipelines.domain_event import chain_to
from emr_pipelines.gateways.domain_events import SOURCE
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Run


def chain_of(event: dict[str, Any], record: RunRecord) -> list[str]:
    """Return the pipelines that led to an event, first to last; none when no run of ours is behind it."""
    match event:
        case {"source": source, "detail": {"chain": [*chain]}} if source == SOURCE:
            return [str(pipeline) for pipeline in chain]
    run = _run_behind(event, record)
    return chain_to(run) if run else []


def _run_behind(event: dict[str, Any], record: RunRecord) -> Run | None:
    """Return the run that caused an event, be it by itself, its execution, its job runs or its output."""
    match event:
        case {"source": source, "detail": {"run": str(run_id)}} if source == SOURCE:
            return record.get_run(run_id)
        case {"source": "aws.states", "detail": {"name": str(run_id)}}:
            return record.get_run(run_id)
        case {"source": "aws.emr-serverless", "detail": {"jobRunId": str(job_run_id)}}:
            job = record.find_job(job_run_id)
            return record.get_run(job.run_id) if job else None
        case {"source": "aws.s3", "detail": {"object": {"key": str(key)}}} if key.startswith("output/"):
            run_id = f"{key}/".split("/")[2]  # output/<pipeline>/<run>/...
            return record.get_run(run_id)
    return None
