"""The run record: one DynamoDB table with runs, their jobs, and what links EMR's ids to them.

| pk                     | sk             | item                                                    |
| ---------------------- | -------------- | ------------------------------------------------------- |
| RUN#<run id>           | RUN            | the run                                                 |
| RUN#<run id>           | JOB#<name>     | a job of the run, with its task token                   |
| EMR#<job run id>       | JOB_RUN        | which job a job run, or a step of a cluster, is         |
| EMR#<application id>   | RELEASED       | an application that no run needs any more               |
| EMR#<application id>   | WAITING#<run>  | the task token of a run that waits for the application  |
| PIPELINE#<name>        | APPLICATION    | the shared application of a pipeline                    |
| OPEN_RUNS              | <run id>       | a run of which something may still be open              |

The index RunsByPipeline has the runs of a pipeline by `started_at`: only they have both attributes.

EMR's ids are looked up in the table itself, not in an index: an index may lag behind the write, and an event that
overtakes it would be lost.

Nothing expires while its run is alive, be it silent for a year: a run is kept for the retention after its end, and what
belongs to it for the retention after its latest possible end, which is known when it is written.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from emr_pipelines.clock import now
from emr_pipelines.gateways.table import Table, expiry
from emr_pipelines.job_state import FINAL_STATES, is_final
from emr_pipelines.run import RUNNING, Job, Run, StateChange

_Record = TypeVar("_Record", Run, Job)

_LONGEST_RUN_DAYS = 366  # an execution of Step Functions lasts for a year at the most

# JSON documents are stored as text: DynamoDB has no floats, and nobody queries inside them.
_DOCUMENTS = frozenset(
    {
        "application",
        "attempt_history",
        "cluster",
        "concurrency",
        "item",
        "parameters",
        "prices",
        "request",
        "resources",
        "trigger",
    }
)
# What planning adds to a run that `create_run` has stored.
_PLANNED = (
    "application",
    "application_id",
    "cluster",
    "concurrency",
    "deadline",
    "expected_minutes",
    "fail_fast",
    "lifecycle",
    "notify_on",
    "notify_topics",
    "origin",
    "output",
    "parameters",
    "pipeline",
    "pipeline_file",
    "pipeline_version",
    "repair_of",
    "trigger",
)


class RunRecord:
    """Reads and writes the run record; every write is conditional or idempotent."""

    def __init__(self, table_name: str, retention_days: int = 90) -> None:
        self._table = Table(table_name)
        self._retention_days = retention_days

    # Runs

    def create_run(self, run: Run) -> Run:
        """Store a new run; return the one already stored when this is a repeated call."""
        # First, so that no run is ever recorded that the sweep does not look after.
        self._table.put(_open_key(run.run_id), {})
        self._table.put(_run_key(run.run_id), _to_item(run), Attr("pk").not_exists(), ttl=self._latest_expiry(run))
        return self.get_run(run.run_id) or run

    def get_run(self, run_id: str) -> Run | None:
        """Return a run, or None when nobody recorded it."""
        item = self._table.get(_run_key(run_id))
        return _from_item(Run, item) if item else None

    def get_runs(self, run_ids: Iterable[str]) -> dict[str, Run]:
        """Return those of some runs that are recorded, by their ids."""
        items = self._table.get_many([_run_key(run_id) for run_id in run_ids])
        return {item["run_id"]: _from_item(Run, item) for item in items}

    def list_open_runs(self) -> list[str]:
        """Return the ids of the runs of which something may still be open; `close_run` takes one out."""
        return [item["sk"] for item in self._table.query(Key("pk").eq("OPEN_RUNS"))]

    def close_run(self, run_id: str) -> None:
        """Note that nothing of a run is open any more: its end and those of its jobs are known and published."""
        self._table.delete(_open_key(run_id))

    def list_runs(self, pipeline: str, limit: int, state: str | None = None) -> list[Run]:
        """Return the latest runs of a pipeline, newest first; the index may be some moments behind."""
        arguments = {"FilterExpression": Attr("state").eq(state)} if state else {}
        items = self._table.query(
            Key("pipeline").eq(pipeline),
            IndexName="RunsByPipeline",
            ConsistentRead=False,
            ScanIndexForward=False,
            Limit=limit,
            **arguments,
        )
        return [_from_item(Run, item) for item in items[:limit]]

    def save_plan(self, run: Run, jobs: Iterable[Job]) -> None:
        """Store what the pipeline file made of a run: its application and its jobs."""
        items = [(_job_key(job.run_id, job.name), _to_item(job)) for job in jobs]
        self._table.put_all(items, ttl=self._latest_expiry(run))
        planned = _to_item(run)
        self._table.update(_run_key(run.run_id), {name: planned[name] for name in _PLANNED if name in planned})

    def set_application_id(self, run_id: str, application_id: str, log_uri: str | None = None) -> None:
        """Record on which application or cluster a run executes, and where a cluster writes its logs."""
        self._table.update(_run_key(run_id), _stored({"application_id": application_id, "log_uri": log_uri}))

    def set_prices(self, run_id: str, prices: Mapping[str, Any]) -> None:
        """Record the prices with which the cost of a run is reckoned."""
        self._table.update(_run_key(run_id), _stored({"prices": prices}))

    def end_run(self, run_id: str, state: str, error: str | None, cause: str | None) -> Run:
        """Give a run its final state, unless it already has one; return the run as it now is."""
        values = {"state": state, "ended_at": now(), "error": error, "cause": cause}
        item = self._table.update(_run_key(run_id), values, Attr("state").eq(RUNNING))
        return _from_item(Run, item)

    def stop_run(self, run_id: str, why: str) -> None:
        """Record that no more jobs of a run are to be submitted; the first reason is kept."""
        self._table.update(_run_key(run_id), {"stopping": why}, Attr("stopping").not_exists())

    def claim_repair(self, run_id: str, repair_id: str) -> str:
        """Record which run repairs a run, unless another one does already; return the one that does."""
        condition = Attr("repaired_by").not_exists() | Attr("repaired_by").eq(repair_id)
        repaired_by: str = self._table.update(_run_key(run_id), {"repaired_by": repair_id}, condition)["repaired_by"]
        return repaired_by

    def mark_overdue(self, run_id: str) -> None:
        """Record that it has been published that a run takes longer than expected."""
        self._table.update(_run_key(run_id), {"overdue": True})

    def settle_run(self, run: Run) -> None:
        """Record that the end of a run has been published; from now on it is kept for the retention."""
        self._table.update(_run_key(run.run_id), {"settled": True, "ttl": expiry(self._retention_days)})

    # Jobs

    def get_job(self, run_id: str, name: str) -> Job:
        """Return a job that `save_plan` stored."""
        item = self._table.get(_job_key(run_id, name))
        if item is None:
            raise LookupError(f"Run {run_id} has no job {name}.")
        return _from_item(Job, item)

    def list_jobs(self, run_id: str) -> list[Job]:
        """Return the jobs of a run in the order of the pipeline file."""
        items = self._table.query(Key("pk").eq(f"RUN#{run_id}") & Key("sk").begins_with("JOB#"))
        return sorted((_from_item(Job, item) for item in items), key=lambda job: job.position)

    def get_jobs(self, run_id: str, names: Iterable[str]) -> list[Job]:
        """Return some jobs of a run."""
        return [_from_item(Job, item) for item in self._table.get_many([_job_key(run_id, name) for name in names])]

    def stop_waiting_for(self, run_id: str, name: str, ended: set[str]) -> Job:
        """Record that jobs that a job has waited for have ended; return it as it now is."""
        return _from_item(Job, self._table.update(_job_key(run_id, name), {}, remove={"waiting_for": ended}))

    def save_upstream_token(self, job: Job, task_token: str, execution_arn: str) -> Job:
        """Leave the task token where the job that ends the waiting will find it."""
        values = {"upstream_token": task_token, "execution_arn": execution_arn}
        return _from_item(Job, self._table.update(_job_key(job.run_id, job.name), values))

    def save_task_token(self, job: Job, task_token: str, execution_arn: str) -> Job:
        """Leave the task token where the event that ends the job will find it."""
        values = {"task_token": task_token, "execution_arn": execution_arn}
        return _from_item(Job, self._table.update(_job_key(job.run_id, job.name), values))

    def link_job_run(self, job: Job, application_id: str, job_run_id: str, log_uri: str | None = None) -> Job:
        """Record which job run a job has become, findable from both sides; `log_uri` is that of its cluster."""
        link = {"run_id": job.run_id, "job": job.name}
        ttl = expiry(_LONGEST_RUN_DAYS + self._retention_days)
        self._table.put({"pk": f"EMR#{job_run_id}", "sk": "JOB_RUN"}, link, ttl=ttl)
        values = _stored({"application_id": application_id, "job_run_id": job_run_id, "log_uri": log_uri})
        return _from_item(Job, self._table.update(_job_key(job.run_id, job.name), values))

    def find_job(self, job_run_id: str) -> Job | None:
        """Return the job that a job run belongs to, or None when the job run is not ours, or nothing is kept of it."""
        link = self._table.get({"pk": f"EMR#{job_run_id}", "sk": "JOB_RUN"})
        item = self._table.get(_job_key(link["run_id"], link["job"])) if link else None
        return _from_item(Job, item) if item else None

    def record_state(self, job: Job, state: str, observed_at: str, **details: object) -> Job:
        """Record a state that EMR reported; return the job as it now is.

        A final state is kept for good; any other state counts only if it is newer than the last one.
        """
        condition: ConditionBase = ~Attr("state").is_in(sorted(FINAL_STATES))
        values: dict[str, Any] = {"state": state, "observed_at": observed_at, **_stored(details)}
        if is_final(state):
            values["ended_at"] = observed_at
        else:
            condition &= Attr("observed_at").not_exists() | Attr("observed_at").lt(observed_at)
        key = _job_key(job.run_id, job.name)
        seen = {"states": {f"{observed_at} {state}"}}
        current = _from_item(Job, self._table.update(key, values, condition, add=seen))
        if not is_final(state) and (current.state, current.observed_at) != (state, observed_at):
            # Too late to be the state, but not for the timeline.
            current = _from_item(Job, self._table.update(key, {}, add=seen))
        return current

    def settle_job(self, job: Job) -> None:
        """Record that nobody waits for news of this job any more."""
        self._table.update(_job_key(job.run_id, job.name), {"settled": True})

    # Applications

    def get_shared_application(self, pipeline: str) -> tuple[str | None, str | None]:
        """Return the id of a pipeline's shared application and the digest of the request that shaped it."""
        item = self._table.get({"pk": f"PIPELINE#{pipeline}", "sk": "APPLICATION"}) or {}
        return item.get("application_id"), item.get("digest")

    def save_shared_application(self, pipeline: str, application_id: str, digest: str) -> None:
        """Remember the shared application of a pipeline and the digest of the request that shaped it."""
        values = {"application_id": application_id, "digest": digest}
        self._table.update({"pk": f"PIPELINE#{pipeline}", "sk": "APPLICATION"}, values)

    def mark_released(self, application_id: str) -> None:
        """Note that no run needs an application any more: its next events lead to its deletion."""
        self._table.put(_released_key(application_id), {}, ttl=expiry(self._retention_days))

    def is_released(self, application_id: str) -> bool:
        """Tell whether `mark_released` was called for an application."""
        return self._table.get(_released_key(application_id)) is not None

    def wait_for_application(self, application_id: str, run_id: str, task_token: str) -> None:
        """Leave the task token of a run where the application's next event will find it."""
        values = {"run_id": run_id, "task_token": task_token}  # put again at each heartbeat
        self._table.put(_waiting_key(application_id, run_id), values, ttl=expiry(self._retention_days))

    def list_waiting(self, application_id: str) -> list[tuple[str, str]]:
        """Return run id and task token of every run that waits for an application."""
        items = self._table.query(Key("pk").eq(f"EMR#{application_id}") & Key("sk").begins_with("WAITING#"))
        return [(item["run_id"], item["task_token"]) for item in items]

    def stop_waiting(self, application_id: str, run_id: str) -> None:
        """Forget the token that `wait_for_application` left."""
        self._table.delete(_waiting_key(application_id, run_id))

    def _latest_expiry(self, run: Run) -> int:
        """Return when a run and its jobs have been kept for long enough, however late the run ends."""
        if run.deadline:
            return expiry(self._retention_days, run.deadline)
        return expiry(_LONGEST_RUN_DAYS + self._retention_days, run.started_at)


def _run_key(run_id: str) -> dict[str, str]:
    return {"pk": f"RUN#{run_id}", "sk": "RUN"}


def _open_key(run_id: str) -> dict[str, str]:
    return {"pk": "OPEN_RUNS", "sk": run_id}


def _job_key(run_id: str, name: str) -> dict[str, str]:
    return {"pk": f"RUN#{run_id}", "sk": f"JOB#{name}"}


def _waiting_key(application_id: str, run_id: str) -> dict[str, str]:
    return {"pk": f"EMR#{application_id}", "sk": f"WAITING#{run_id}"}


def _released_key(application_id: str) -> dict[str, str]:
    return {"pk": f"EMR#{application_id}", "sk": "RELEASED"}


def _to_item(record: Run | Job) -> dict[str, Any]:
    values = asdict(record)
    values.pop("states", None)  # only `record_state` adds to it
    return _stored(values)


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as DynamoDB takes them; an empty set does not exist there."""
    known = {name: value for name, value in values.items() if value is not None}
    stored = {name: json.dumps(value) if name in _DOCUMENTS else value for name, value in known.items()}
    if "waiting_for" in stored:
        stored["waiting_for"] = set(stored["waiting_for"]) or None
    if not stored.get("pipeline", "-"):
        stored["pipeline"] = None  # no name was given, and the key of an index may not be empty
    return {name: value for name, value in stored.items() if value is not None}


def _from_item(kind: type[_Record], item: dict[str, Any]) -> _Record:
    known = {field.name for field in fields(kind)}
    values = {name: value for name, value in item.items() if name in known}
    for name in _DOCUMENTS & values.keys():
        values[name] = json.loads(values[name])
    if "states" in values:
        values["states"] = _timeline(values["states"])
    if "waiting_for" in values:
        values["waiting_for"] = sorted(values["waiting_for"])
    for name in ("position", "attempts", "expected_minutes", "timeout_minutes"):
        if name in values:
            values[name] = int(values[name])
    return kind(**values)


def _timeline(seen: set[str]) -> list[StateChange]:
    """Order what was seen, and leave out what only repeats: EMR sends some states more than once."""
    changes: list[StateChange] = []
    for line in sorted(seen):
        at, state = line.split(" ", 1)
        if not changes or changes[-1]["state"] != state:
            changes.append({"state": state, "at": at})
    return changes
