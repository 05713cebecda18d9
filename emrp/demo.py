"""`emrp demo`, which is `make run`: the main job on this machine, from nothing to the e-mail."""

import re
import shutil
import time
import urllib.request
from contextlib import ExitStack
from textwrap import indent

from rich.console import Console
from rich.markup import escape

from emrp import environment
from emrp.deployment import Deployment
from emrp.errors import CommandError, RunFailedError
from emrp.follow import Picture
from emrp.local import lifecycle
from emrp.pipelines import deploy_project
from emrp.progress import Stages
from emrp.project import Project
from emrp.sample_run import Pace, run_sample, save_logs
from emrp.stack import Stack

_PACE = Pace(run_starts_seconds=30, look_seconds=0.2)
_EMAIL_SECONDS = 20.0
_CONFIRMATION = re.compile(r"https?://\S+Action=ConfirmSubscription\S+")


class Demo:
    """One pass through the main job."""

    def __init__(self, console: Console, stack_name: str) -> None:
        self._console = console
        self._stages = Stages(console)
        self._project = Project.find()
        self._stack_name = stack_name

    def run(self, port: int, *, keep: bool) -> None:
        """Do it all; raises RunFailedError unless the result and the e-mail are there.

        Whatever happens, nothing is left running; with `keep` the local AWS stays if it came to a run.
        """
        with ExitStack() as at_the_end:
            with self._stages.stage("Start AWS on this machine"):
                local_aws = at_the_end.enter_context(lifecycle.start(port, detach=keep))
                environment.use(local_aws.environment())
            Deployment(self._project, self._stack_name, local=True).run(self._stages)
            stack = Stack.describe(self._stack_name)
            with self._stages.stage("Confirm the e-mail subscription"):
                _confirm_subscription(local_aws)
            deploy_project(self._stages, stack, self._project)
            failure = None
            try:
                self._run_pipeline(stack, local_aws)
            except RunFailedError as error:
                failure = error
            if keep:  # also after a failure, so that it can be looked into
                at_the_end.pop_all()
                self._console.print(_how_to_go_on(local_aws, stack), markup=False, soft_wrap=True)
            if failure:
                raise failure

    def _run_pipeline(self, stack: Stack, local_aws: lifecycle.LocalAws) -> None:
        picture = run_sample(self._stages, stack, _PACE)
        with self._stages.quiet_stage("Receive the e-mail"):
            email = _wait_for_email(local_aws, picture.run_id)
        self._show_email(email)
        self._show_logs(picture)
        self._console.print("\n[bold]Time[/bold]")
        self._console.print(self._stages.summary())
        if not picture.succeeded:
            raise RunFailedError(f"The run {picture.status.lower()}: the e-mail says why.")
        if email is None:
            raise RunFailedError(f"The run succeeded, but no e-mail about it came within {_EMAIL_SECONDS:.0f} s.")

    def _show_email(self, email: dict[str, str] | None) -> None:
        if email is not None:
            self._console.print(f"\n[bold]E-mail[/bold] to {email['to']}: {escape(email['subject'])}", soft_wrap=True)
            self._console.print(indent(email["body"].rstrip(), "  "), markup=False, soft_wrap=True)

    def _show_logs(self, picture: Picture) -> None:
        folder = self._project.folder / ".local" / "last-run"
        shutil.rmtree(folder, ignore_errors=True)
        files = save_logs(picture.jobs, folder)
        self._console.print("\n[bold]Driver logs[/bold]")
        for job in picture.jobs:
            self._console.print(f"  {job.log_location}", markup=False, soft_wrap=True)
        for file in files:
            self._console.print(f"  copied to {file.relative_to(self._project.folder)}", markup=False, soft_wrap=True)


def _confirm_subscription(local_aws: lifecycle.LocalAws) -> None:
    """Open the link in the confirmation mail, as its reader would."""
    for email in local_aws.inbox():
        if link := _CONFIRMATION.search(email["body"]):
            with urllib.request.urlopen(link.group(), timeout=10):  # noqa: S310 - our own server on 127.0.0.1
                return
    raise CommandError("SNS sent no mail to confirm the subscription.")


def _wait_for_email(local_aws: lifecycle.LocalAws, run_id: str) -> dict[str, str] | None:
    deadline = time.monotonic() + _EMAIL_SECONDS
    while time.monotonic() < deadline:
        for email in local_aws.inbox():
            if run_id in email["body"]:
                return email
        time.sleep(0.1)  # the inbox has no signal for another process
    return None


def _how_to_go_on(local_aws: lifecycle.LocalAws, stack: Stack) -> str:
    port, url = local_aws.port, local_aws.endpoint_url
    return f"""
AWS on this machine stays up at {url} (process {local_aws.pid}). To use it from a shell:
  export AWS_ENDPOINT_URL={url} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 \\
         AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  aws s3 cp another.csv s3://{stack.bucket}/landing/salaries/     starts another run
  python -c "import boto3; print(boto3.client('s3').list_buckets()['Buckets'])"
The emrp command is in .venv/bin and needs no exports:
  .venv/bin/emrp --local --port {port} run salaries -p top=3
  .venv/bin/emrp local inbox --port {port}     the e-mails; in a browser: {url}/_emrp/inbox
  .venv/bin/emrp local down --port {port}      stop it"""
