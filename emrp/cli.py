"""The `emrp` command: arguments in, exit codes out; the work is done by the modules beside this one."""

import json
import signal
import sys
from typing import Annotated, NoReturn
from uuid import uuid4

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from emr_pipelines.errors import EmrPipelinesError
from rich.console import Console

from emrp import environment
from emrp.demo import Demo
from emrp.deployment import Deployment
from emrp.errors import EXIT_ENVIRONMENT, EXIT_RUN_FAILED, CommandError, UsageError
from emrp.follow import Picture, RunFollower, execution_arn
from emrp.local import DEFAULT_PORT
from emrp.local.cli import local_app
from emrp.local.lifecycle import LocalAwsError
from emrp.progress import Stages, show_run
from emrp.project import Project
from emrp.smoke import Smoke, estimate
from emrp.stack import Stack

_HINTS: dict[type[Exception], str] = {
    NoRegionError: "Name a region with --region or AWS_REGION, or use --local",
    NoCredentialsError: "Log in, or name a profile with --profile, or use --local",
    EndpointConnectionError: "AWS cannot be reached: check the network and AWS_ENDPOINT_URL",
}
_FOLLOW_SECONDS = {True: 0.3, False: 2.0}  # on this machine, in the cloud

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all well, 1 the run did not succeed, 2 wrong usage, 3 something is missing or unreachable, "
    "130 interrupted.",
)
app.add_typer(local_app, name="local")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for a script, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Target:
    """What the global options say: which stack, and whether it is on this machine."""

    def __init__(self, stack_name: str, *, local: bool) -> None:
        self.stack_name = stack_name
        self.local = local

    @property
    def follow_seconds(self) -> float:
        """How often a run is looked at."""
        return _FOLLOW_SECONDS[self.local]


@app.callback()
def options(
    context: typer.Context,
    *,
    profile: Annotated[str | None, typer.Option(help="The AWS profile.")] = None,
    region: Annotated[str | None, typer.Option(help="The AWS region.")] = None,
    stack: Annotated[str, typer.Option(envvar="EMRP_STACK", help="The name of the stack.")] = "emr-pipelines",
    local: Annotated[bool, typer.Option("--local", help="Use the local AWS that runs on this machine.")] = False,
    port: Annotated[int, typer.Option(help="The port of the local AWS.", min=1, max=65535)] = DEFAULT_PORT,
) -> None:
    """Spark and Hive jobs on Amazon EMR, run when something happens."""
    if local and (profile or region):
        raise UsageError("--local goes with neither --profile nor --region.")
    context.obj = Target(stack, local=local)
    if local:
        environment.use_local(port)
    else:
        environment.use_account(profile, region)


@app.command()
def demo(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="The port of the local AWS; 0 takes a free one.", max=65535)] = DEFAULT_PORT,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the local AWS up afterwards.")] = False,
) -> None:
    """Run the main job on this machine: a file lands, Spark runs, a result and an e-mail come out."""
    Demo(_console(), context.ensure_object(Target).stack_name).run(port, keep=keep)


@app.command()
def deploy(
    context: typer.Context,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A template parameter, as Name=value; repeatable.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deploy the stack with SAM, and upload pipelines/ and jobs/ to its bucket."""
    target: Target = context.obj
    deployment = Deployment(Project.find(), target.stack_name, target.local, _pairs(parameter))
    if not yes and not target.local:
        _confirm(f"Deploy the stack {target.stack_name} to {_where()}?")
    stages = Stages(_console(quiet=as_json))
    deployment.run(stages)
    stack = Stack.describe(target.stack_name)
    with stages.stage("Upload pipelines and programs"):
        keys = deployment.project.upload(stack.bucket)
    if as_json:
        typer.echo(json.dumps({**stack.as_json(), "Uploaded": keys}))
    else:
        stages.console.print(f"Bucket {stack.bucket}; start a run with: emrp run salaries", markup=False)


@app.command()
def run(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The name of the pipeline.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", help="A parameter of the pipeline, as name=value (JSON or text); repeatable."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the run until it has ended.")] = True,
    as_json: AsJson = False,
) -> None:
    """Start a run of a pipeline."""
    target: Target = context.obj
    parameters = {name: _parameter(text) for name, text in _pairs(parameter).items()}
    stack = Stack.describe(target.stack_name)
    run_id = f"{pipeline}-{uuid4().hex[:12]}"
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=stack.pipeline_state_machine_arn,
        name=run_id,
        input=json.dumps({"pipeline": pipeline, "parameters": parameters}),
    )
    if follow:
        _follow(target, stack, run_id, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps({"runId": run_id, "executionArn": execution_arn(stack, run_id)}))
    else:
        typer.echo(f"Started {run_id}. Follow it with: emrp watch {run_id}")


@app.command()
def watch(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run id, which is the name of its execution.")],
    as_json: AsJson = False,
) -> None:
    """Show a run until it has ended; also one that ended before."""
    target: Target = context.obj
    _follow(target, Stack.describe(target.stack_name), run_id, as_json=as_json)


@app.command()
def smoke(context: typer.Context, yes: Yes = False) -> None:
    """Run the main job in a real account in a stack of its own, check its result, and delete everything again."""
    target: Target = context.obj
    test = Smoke(_console(), local=target.local)
    typer.echo(f"This deploys the stack {test.stack_name} to {_where()} and deletes it again. {estimate()}")
    if not yes:
        _confirm("Go on?")
    test.run()


def _confirm(question: str) -> None:
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # there is nobody to ask
        agreed = False
    if not agreed:
        raise UsageError("Not confirmed, so nothing was done; the option --yes answers for you.")


def _where() -> str:
    sts = boto3.client("sts")
    return f"account {sts.get_caller_identity()['Account']}, region {sts.meta.region_name}"


def _follow(target: Target, stack: Stack, run_id: str, *, as_json: bool) -> None:
    console = _console(quiet=as_json)
    picture = show_run(console, RunFollower(stack, run_id), target.follow_seconds)
    if as_json:
        typer.echo(json.dumps(picture.as_json()))
    else:
        console.print(_verdict(picture), markup=False, soft_wrap=True)
    if not picture.succeeded:
        raise typer.Exit(EXIT_RUN_FAILED)


def _verdict(picture: Picture) -> str:
    if picture.succeeded:
        return f"The run succeeded. Result: {picture.run.output if picture.run else 'none'}"
    lines = [f"The run {picture.status.lower()}: {picture.error or 'no error given'}", picture.cause or ""]
    lines += [
        f"Logs of {job.name}: {job.log_location}" for job in picture.jobs if job.log_location and not job.succeeded
    ]
    return "\n".join(line for line in lines if line)


def _pairs(words: list[str] | None) -> dict[str, str]:
    """Read name=value arguments."""
    for word in words or []:
        if not word.partition("=")[0] or "=" not in word:
            raise UsageError(f'"{word}" is not of the form name=value.')
    return dict(word.split("=", 1) for word in words or [])


def _parameter(text: str) -> object:
    """Read the value of a pipeline's parameter: what is JSON is taken as such, anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _console(*, quiet: bool = False) -> Console:
    return Console(highlight=False, quiet=quiet)


def main() -> NoReturn:
    """Run the command line; whatever goes wrong is said in a sentence. Typer ends with 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except (LocalAwsError, EmrPipelinesError) as error:
        _fail(str(error), EXIT_ENVIRONMENT)
    except (BotoCoreError, ClientError) as error:
        _fail(f"{_HINTS.get(type(error), 'AWS cannot be used')}: {error}", EXIT_ENVIRONMENT)
    except OSError as error:  # a full disk, a folder that may not be written
        _fail(f"The operating system refuses: {error}", EXIT_ENVIRONMENT)
    sys.exit(0)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False).print(message, style="red", markup=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
