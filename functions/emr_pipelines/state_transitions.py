"""How many state transitions of Step Functions a run takes, counted from the state machines in statemachine/."""

from collections.abc import Sequence

from emr_pipelines.job_groups import groups
from emr_pipelines.run import Job

# Plan Run, Launch Application, Run Jobs, Clean Up, Did Every Job Succeed, Run Succeeded
PER_RUN = 6
# Run Job, Add Job Run
PER_JOB = 2
# Add Job Run is left for Wait For Upstream, and entered again
PER_WAIT = 2
# Run Job, Run Group: with more jobs than one Map runs at the same time
PER_GROUP = 2
# Job Failed (or Cancelled, or Skipped), Clean Up Jobs
PER_JOB_WITHOUT_SUCCESS = 2
# Check Status, for a job that runs longer than HeartbeatSeconds is by default
PER_LONG_JOB = 1
_LONG_SECONDS = 300


def planned_transitions(jobs: Sequence[Job]) -> int:
    """Return the transitions of a run in which all goes well.

    A job that runs longer than the heartbeat allows takes one more, one that fails or is skipped two.
    """
    run = [job for job in jobs if not job.ended]
    return _of(run, waited=[job for job in run if job.waiting_for])


def executed_transitions(jobs: Sequence[Job]) -> int:
    """Return the transitions of a run that has ended, as its record tells them.

    What the record does not tell is left out: waiting for a slot, retries that start a state again.
    """
    run = [job for job in jobs if not job.reused_from]
    unsuccessful = [job for job in run if not job.succeeded]
    long = [job for job in run if (job.duration_seconds or 0) > _LONG_SECONDS]
    waited = [job for job in run if job.upstream_token]
    return _of(run, waited) + PER_JOB_WITHOUT_SUCCESS * len(unsuccessful) + PER_LONG_JOB * len(long)


def _of(run: Sequence[Job], waited: Sequence[Job]) -> int:
    grouped = [group for group in groups([job.name for job in run]) if len(group) > 1]
    return PER_RUN + PER_JOB * len(run) + PER_WAIT * len(waited) + PER_GROUP * len(grouped)
