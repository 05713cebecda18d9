"""What must be true of every run, whatever has happened to it: nothing is lost, nothing leaks, nothing lies."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from tests.local.chaos.world import ChaosRun, Item, World

END_SECONDS = 400.0  # for a run to end, and for what it leaves to go: others may need the processors
_UNTIL_SWEEP_SECONDS = 20.0
_BETWEEN_LOOKS = 0.25

_FINAL_JOBS = {"SUCCESS", "FAILED", "CANCELLED", "SKIPPED"}
_STATUSES = {
    "SUCCEEDED": {"SUCCEEDED"},
    "SKIPPED": {"SUCCEEDED"},
    "FAILED": {"FAILED"},
    "TIMED_OUT": {"FAILED", "TIMED_OUT"},
    "CANCELLED": {"ABORTED"},
}


@dataclass
class Findings:
    """What is not as it must be."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.all())

    def __iadd__(self, other: "Findings") -> "Findings":
        for kind in fields(self):
            getattr(self, kind.name).extend(getattr(other, kind.name))
        return self

    def all(self) -> list[str]:
        """Everything, whatever it is."""
        return [finding for kind in fields(self) for finding in getattr(self, kind.name)]


def check(world: World, runs: Iterable[ChaosRun]) -> Findings:
    """Wait until runs have ended and all is as it must be; return what is not in the end.

    When it is not soon, faults stop, somebody redrives what is in the dead-letter queues, and a sweep comes, as it does
    every quarter of an hour.
    """
    found = Findings()
    runs = list(runs)
    waiting = runs
    began = time.monotonic()
    swept = 0.0
    while waiting:
        looked = [(run, look(world, run)) for run in waiting]
        waiting = [run for run, problems in looked if problems]
        passed = time.monotonic() - began
        if passed > END_SECONDS:
            for _, problems in looked:
                found += problems
            break
        if waiting and passed - swept > _UNTIL_SWEEP_SECONDS and all(has_ended(world, run) for run in waiting):
            world.faults()
            world.redrive()
            world.sweep()
            swept = passed
        time.sleep(_BETWEEN_LOOKS)
    found += _look_at_logs(world, runs)
    return found


def has_ended(world: World, run: ChaosRun) -> bool:
    """Tell whether the execution of a run is over."""
    return world.status(run) != "RUNNING"


def look(world: World, run: ChaosRun) -> Findings:
    """Compare what everybody says about a run."""
    status = world.status(run)
    if status == "RUNNING":
        return Findings(lost=[f"{run.run_id}: the execution has not ended"])
    items = world.items(f"RUN#{run.run_id}")
    if "RUN" not in items:
        return Findings(lost=[f"{run.run_id}: there is no record"])
    record = items.pop("RUN")
    jobs = {item["name"]: item for item in items.values()}
    findings = Findings()
    _look_at_end(findings, run, status, record, jobs)
    _look_at_emr(findings, world, run, record, jobs)
    _look_at_news(findings, world, run, record, jobs)
    return findings


def _look_at_end(findings: Findings, run: ChaosRun, status: str, record: Item, jobs: dict[str, Item]) -> None:
    if status not in _STATUSES.get(record["state"], set()) and not run.scenario.stopped:
        findings.lies.append(f"{run.run_id}: execution {status}, record {record['state']}")
    states = {name: job["state"] for name, job in jobs.items()}
    open_jobs = {name: state for name, state in states.items() if state not in _FINAL_JOBS}
    if open_jobs:
        findings.lost.append(f"{run.run_id}: jobs without an end: {open_jobs}")
    elif not run.scenario.stopped and states != run.scenario.expected():
        reasons = {name: job.get("state_details") for name, job in jobs.items()}
        findings.lies.append(f"{run.run_id}: jobs {states}: {reasons}; {record.get('error')}: {record.get('cause')}")
    bad = bool({"FAILED", "CANCELLED"} & set(states.values()))
    if (record["state"] == "SUCCEEDED") == bad and not run.scenario.stopped:
        findings.lies.append(f"{run.run_id}: run {record['state']} with jobs {states}")


def _look_at_emr(findings: Findings, world: World, run: ChaosRun, record: Item, jobs: dict[str, Item]) -> None:
    stack = json.loads(record.get("cluster") or "{}").get("StackName")
    if stack and world.has_stack(stack):
        findings.leaked.append(f"{run.run_id}: stack {stack} is there")
    resource_id = record.get("application_id")
    if not resource_id:
        return
    if record.get("lifecycle") == "transient" and not world.is_terminated(resource_id):
        findings.leaked.append(f"{run.run_id}: {resource_id} is there")
    emr = world.job_runs(resource_id)
    for name, job in jobs.items():
        on_emr = emr.get(job.get("job_run_id", ""), job["state"])
        if on_emr not in _FINAL_JOBS:
            findings.leaked.append(f"{run.run_id}: job run of {name} is {on_emr}")
        elif on_emr != job["state"]:
            findings.lies.append(f"{run.run_id}: job {name} is {job['state']}, its job run {on_emr}")


def _look_at_news(findings: Findings, world: World, run: ChaosRun, record: Item, jobs: dict[str, Item]) -> None:
    told = world.notifications(run)
    if not told:
        findings.lost.append(f"{run.run_id}: nobody was told")
    elif set(told) == {record["state"]}:
        findings.doubled += [f"{run.run_id}: people were told {len(told)} times"] * (len(told) > 1)
    else:
        findings.lies.append(f"{run.run_id}: it is {record['state']}, people were told {told}")
    events = world.events(run)
    expected = {f"{run.run_id}/{record['state']}"} | {
        f"{run.run_id}/{name}/{job['state']}" for name, job in jobs.items()
    }
    if missing := expected - events.keys():
        findings.lost.append(f"{run.run_id}: no event {sorted(missing)}")
    if wrong := events.keys() - expected:
        findings.lies.append(f"{run.run_id}: events {sorted(wrong)}")


def check_all(world: World, runs: Iterable[ChaosRun]) -> Findings:
    """Check what concerns all runs that there were: each job run is one job's, and nothing is open."""
    world.sweep()  # it closes runs that were stopped before they had jobs
    findings = Findings()
    known: Counter[str] = Counter()
    resources = set()
    for run in runs:
        for item in world.items(f"RUN#{run.run_id}").values():
            resources.add(item.get("application_id"))
            known.update(filter(None, [item.get("job_run_id")]))
    findings.doubled += [f"{job_run} is the job run of {jobs} jobs" for job_run, jobs in known.items() if jobs > 1]
    for resource_id in filter(None, resources):
        strange = world.job_runs(resource_id).keys() - known.keys()
        findings.doubled += [f"job run {job_run} was submitted for no job, or once more" for job_run in strange]
    findings.leaked += [f"execution {name} runs" for name in world.open_executions()]
    findings.leaked += [f"run {run_id} is open" for run_id in world.items("OPEN_RUNS")]
    findings.lost += [f"dead letter {json.dumps(body)[:300]}" for body in world.dead_letters()]
    return findings


def _look_at_logs(world: World, runs: Iterable[ChaosRun]) -> Findings:
    """Look for the secrets of runs that have just ended."""
    logs = world.logs()
    items = [item for run in runs for item in world.items(f"RUN#{run.run_id}").values()]
    tokens = {item.get(kind) for item in items for kind in ("task_token", "upstream_token")}
    return Findings(lies=[f"the log has the task token {token}" for token in tokens if token and token in logs])
