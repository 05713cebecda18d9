"""Measures an attempt while it runs, and reports it every half an hour and at its end."""

import asyncio

from emrp.local.emr_serverless.clock import now
from emrp.local.emr_serverless.events import Events
from emrp.local.emr_serverless.job_run import Attempt, JobRun
from emrp.local.emr_serverless.utilization import Figures
from emrp.local.emr_serverless.workers import Workers

REPORT_MINUTES = 30


class Meter:
    """The meter of the latest attempt of a job run."""

    def __init__(self, job_run: JobRun, events: Events) -> None:
        self._job_run = job_run
        self._events = events
        self._attempt: Attempt = job_run.latest
        self._reported = Figures()
        self._reported_until = self._attempt.created_at

    def read(self, workers: Workers) -> None:
        """Bring the figures of a running attempt up to date."""
        if self._attempt.started_at:
            running = now() - self._attempt.started_at
            self._attempt.figures = workers.figures(running.total_seconds())

    def report(self, *, final: bool) -> None:
        """Publish what was used since the last report."""
        figures = self._attempt.figures or Figures()
        interval = figures - self._reported
        self._events.resources_used(self._job_run, self._attempt, interval, self._reported_until, final=final)
        self._reported, self._reported_until = figures, now()

    async def report_regularly(self, workers: Workers, seconds: float) -> None:
        """Read and report until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            self.read(workers)
            self.report(final=False)
