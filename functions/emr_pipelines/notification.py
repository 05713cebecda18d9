"""What people are told: a subject that says why, a plain text, and the same in short for programs and chats."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from emr_pipelines.clock import duration, now, seconds_between
from emr_pipelines.console_links import Console
from emr_pipelines.cost import billed, run_cost, usd
from emr_pipelines.errors import Problem
from emr_pipelines.job_state import UNSUCCESSFUL_STATES, JobState
from emr_pipelines.mail_text import fact, job_table, log_lines, plain, subject, wrapped
from emr_pipelines.reason import on_one_line
from emr_pipelines.run import (
    CANCELLED,
    FAILED,
    OVERDUE,
    RETRIED,
    SKIPPED,
    STARTED,
    SUCCEEDED,
    TIMED_OUT,
    Job,
    Run,
)

REJECTED, SWEPT = "REJECTED", "SWEPT"
NONE = "-"  # stands for the pipeline or job of a notification that is about none

_WORDS = {
    CANCELLED: "was cancelled",
    FAILED: "failed",
    SKIPPED: "was skipped",
    SUCCEEDED: "succeeded",
    TIMED_OUT: "timed out",
}
_SEVERITIES = {
    **dict.fromkeys((FAILED, TIMED_OUT, REJECTED), "ERROR"),
    **dict.fromkeys((CANCELLED, OVERDUE, RETRIED, SWEPT), "WARNING"),
}
_MOST_EXPLAINED = 3  # jobs of which the reason and the log are shown
_MOST_JOBS = {SUCCEEDED: 5}  # so that the mail fits on one screen
_MOST_PARAMETERS = {SUCCEEDED: 3}
_MOST_LINES = 40
_MOST_JOB_NAMES = 100


@dataclass(frozen=True)
class Notification:
    """What `NotificationTopic.publish` sends.

    `line` is what is left of it in a summary, which is for those that come in bursts. `topics` are those of the
    pipeline file, besides the stack's own.
    """

    subject: str
    body: str
    state: str
    line: str
    pipeline: str = NONE
    jobs: tuple[str, ...] = ()
    run: str | None = None
    comes_in_bursts: bool = False
    topics: tuple[str, ...] = ()
    next_step: str | None = None

    @property
    def severity(self) -> str:
        """INFO, WARNING or ERROR."""
        return _SEVERITIES.get(self.state, "INFO")

    @property
    def attributes(self) -> dict[str, str | list[str]]:
        """What subscriptions can filter by."""
        return {
            "pipeline": self.pipeline,
            "job": list(self.jobs[:_MOST_JOB_NAMES]) or [NONE],
            "state": self.state,
            "severity": self.severity,
        }

    @property
    def document(self) -> str:
        """The same for programs, as Amazon Q Developer in chat applications (AWS Chatbot) takes it, too."""
        return json.dumps(
            {
                "version": "1.0",
                "source": "custom",
                "content": {
                    "textType": "client-markdown",
                    "title": html.escape(self.subject, quote=False),
                    "description": html.escape(self.line, quote=False),
                    **({"nextSteps": [self.next_step]} if self.next_step else {}),
                },
                "metadata": {
                    "summary": self.subject,
                    "eventType": self.state,
                    **({"threadId": self.run} if self.run else {}),
                    "additionalContext": {
                        "pipeline": self.pipeline,
                        "run": self.run or NONE,
                        "jobs": ", ".join(self.jobs[:_MOST_JOB_NAMES]) or NONE,
                        "state": self.state,
                        "severity": self.severity,
                    },
                },
            }
        )


def failed_jobs(run: Run, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose failure a notification explains."""
    if run.state in {SUCCEEDED, SKIPPED}:
        return []
    failed = [job for job in jobs if job.state == JobState.FAILED]
    if run.state == FAILED:  # of a run that was stopped all jobs are cancelled, which its own reason explains
        failed += [job for job in jobs if job.state == JobState.CANCELLED]
    return failed[:_MOST_EXPLAINED]


def run_ended(run: Run, jobs: Sequence[Job], stack: str, logs: Mapping[str, str | None]) -> Notification:
    """Tell people how a run has ended; `logs` has how the logs of the failed jobs end, or None."""
    unsuccessful = [job for job in jobs if job.state in UNSUCCESSFUL_STATES] if run.state != SUCCEEDED else []
    explained = failed_jobs(run, jobs)
    may_be_repaired = bool(jobs) and run.state not in {SUCCEEDED, SKIPPED}
    body = _render(
        "run_ended",
        **_of_run(run, jobs, stack),
        explained=explained,
        more_unsuccessful=len(unsuccessful) - len(explained),
        logs=logs,
        may_be_repaired=may_be_repaired,
    )
    title = f"{run.pipeline or 'A pipeline'} {_WORDS[run.state]}"
    return Notification(
        subject(f"{title}: {run.cause}" if run.cause else title),
        body,
        run.state,
        f"{run.run_id}: {subject(run.cause or _WORDS[run.state])}",
        run.pipeline or NONE,
        tuple(job.name for job in unsuccessful or jobs),
        run.run_id,
        comes_in_bursts=run.state in {FAILED, TIMED_OUT, CANCELLED},
        topics=tuple(run.notify_topics),
        next_step=f"Mend the cause, then `emrp repair {run.run_id}`" if may_be_repaired else None,
    )


def run_started(run: Run, jobs: Sequence[Job], stack: str) -> Notification:
    """Tell people that a run has started."""
    body = _render("run_started", **_of_run(run, jobs, stack))
    return _about_run(run, jobs, STARTED, f"{run.pipeline} started: {_trigger(run)}", body)


def run_overdue(run: Run, jobs: Sequence[Job], stack: str) -> Notification:
    """Tell people that a run has not ended in the time in which it was expected to."""
    open_jobs = [job for job in jobs if not job.ended]
    running = seconds_between(run.started_at, now())
    body = _render("run_overdue", **_of_run(run, jobs, stack), open_jobs=open_jobs, running=running)
    text = f"{run.pipeline} has run for {duration(running)}, expected were {run.expected_minutes} min"
    told = _about_run(run, open_jobs, OVERDUE, text, body)
    return replace(told, next_step=f"`emrp watch {run.run_id}`")


def job_retried(run: Run, job: Job, detail: Mapping[str, Any], stack: str, log: str | None) -> Notification:
    """Tell people that an attempt of a job has failed and there is another; `detail` is that of the event."""
    reason = detail["reason"] or "EMR gives no reason."
    body = _render(
        "job_retried", **_of_run(run, [job], stack), job=job, attempt=detail["attempt"], reason=reason, log=log
    )
    return _about_run(run, [job], RETRIED, f"{run.pipeline} retries {job.name}: {reason}", body)


def collected(pipeline: str, state: str, held: Sequence[Mapping[str, Any]]) -> Notification:
    """Tell people at once what was held back during a burst."""
    body = _render("collected", pipeline=pipeline, state=state, lines=[item["line"] for item in held])
    more = "1 more notification" if len(held) == 1 else f"{len(held)} more notifications"
    title = subject(f"{pipeline}: {more} of state {state}")
    jobs = dict.fromkeys(job for item in held for job in item["jobs"])
    topics = dict.fromkeys(topic for item in held for topic in item["topics"])
    return Notification(title, body, state, title, pipeline, tuple(jobs), topics=tuple(topics))


def file_rejected(detail: Mapping[str, Any]) -> Notification:
    """Tell people why a pipeline file was not registered, by the detail of the event that says so."""
    problems = [Problem(**problem) for problem in detail["problems"]]
    body = _render("pipeline_rejected", detail=detail, problems=problems)
    title = subject(f"{detail['file']} was not registered: {problems[0]}")
    return Notification(title, body, REJECTED, title, detail["pipeline"] or NONE)


def trigger_rejected(detail: Mapping[str, Any]) -> Notification:
    """Tell people why a message can never start a run, by the detail of the event that says so."""
    body = _render("trigger_rejected", detail=detail)
    what = f"{detail['pipeline']} was not started" if detail["pipeline"] else "A trigger message started nothing"
    title = subject(f"{what}: {detail['reason']}")
    return Notification(title, body, REJECTED, title, subject(detail["pipeline"]) or NONE, comes_in_bursts=True)


def sweep_completed(detail: Mapping[str, Any]) -> Notification:
    """Tell people what a sweep has found, by the detail of the event that says so."""
    body = _render("sweep_completed", detail=detail)
    first, more = detail["leftovers"][0]["text"], detail["leftoverCount"] - 1
    title = subject(f"Swept up{f' {more} more and' if more else ''} {first}")
    return Notification(title, body, SWEPT, title)


def _about_run(run: Run, jobs: Sequence[Job], state: str, title: str, body: str) -> Notification:
    names = tuple(job.name for job in jobs)
    line = f"{run.run_id}: {subject(title)}"
    return Notification(
        subject(title),
        body,
        state,
        line,
        run.pipeline or NONE,
        names,
        run.run_id,
        comes_in_bursts=state in {OVERDUE, RETRIED},
        topics=tuple(run.notify_topics),
    )


def _of_run(run: Run, jobs: Sequence[Job], stack: str) -> dict[str, Any]:
    """Return what the texts about a run are made of."""
    parameters = [f"{name} = {value}" for name, value in run.parameters.items()]
    most = _MOST_PARAMETERS.get(run.state, _MOST_LINES)
    console = Console.of_arn(run.execution_arn)
    return {
        "run": run,
        "jobs": jobs,
        "trigger": _trigger(run),
        "parameters": parameters if len(parameters) <= most else [*parameters[: most - 1], "..."],
        "table": job_table(run, jobs, _MOST_JOBS.get(run.state, _MOST_LINES)),
        "billed": billed(jobs),
        "cost": run_cost(run, jobs),
        "console": console,
        "log_groups": sorted({group for job in jobs if (group := _log_group(job))}),
        "stack": stack,
    }


def _trigger(run: Run) -> str:
    trigger = run.trigger
    event = trigger.get("event")
    what = next((trigger[name] for name in ("uri", "manifestUri", "expression", "messageId") if name in trigger), None)
    if isinstance(event, dict):
        what = event.get("detail-type")
    return plain(f"{trigger.get('type')} {what}" if what else trigger.get("type"))


def _log_group(job: Job) -> str | None:
    """Return the log group to which EMR writes the logs of a job, if it does."""
    monitoring = job.request.get("configurationOverrides", {}).get("monitoringConfiguration", {})
    logging = monitoring.get("cloudWatchLoggingConfiguration", {})
    return str(logging.get("logGroupName", "/aws/emr-serverless")) if logging.get("enabled") else None


def _render(template: str, **values: Any) -> str:  # noqa: ANN401 - as the template takes them
    text = _ENVIRONMENT.get_template(f"{template}.txt.j2").render(**values)
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


_ENVIRONMENT = Environment(
    loader=PackageLoader("emr_pipelines", "mails"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - plain text
)
_ENVIRONMENT.filters.update(duration=duration, log_lines=log_lines, on_one_line=on_one_line, usd=usd, wrapped=wrapped)
_ENVIRONMENT.globals.update(fact=fact)
