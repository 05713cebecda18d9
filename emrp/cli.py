"""The `emrp` command: global options, the commands and exit codes; the work is done by the modules beside it."""

import signal
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from emr_pipelines.errors import EmrPipelinesError
from rich.console import Console

from emrp import author, backfill, cancel, control, cost, deploy, environment, logs, runs, sweep, triggers
from emrp.command_line import AsJson, Target, Yes, account, confirm, make_console
from emrp.demo import Demo
from emrp.dlq import dlq_app
from emrp.errors import EXIT_ENVIRONMENT, CommandError, UsageError, sentence
from emrp.local import DEFAULT_PORT
from emrp.local.cli import local_app
from emrp.local.lifecycle import LocalAwsError
from emrp.overview import overview
from emrp.report import command as report
from emrp.smoke import Smoke, estimate

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all well, 1 the run did not succeed or a pipeline file has problems, "
    "2 wrong usage, 3 something is missing or unreachable, 130 interrupted.",
)
app.add_typer(local_app, name="local")
app.add_typer(dlq_app, name="dlq")


@app.callback()
def options(
    context: typer.Context,
    *,
    profile: Annotated[str | None, typer.Option(help="The AWS profile.")] = None,
    region: Annotated[str | None, typer.Option(help="The AWS region.")] = None,
    stack: Annotated[str, typer.Option(envvar="EMRP_STACK", help="The name of the stack.")] = "emr-pipelines",
    local: Annotated[bool, typer.Option("--local", help="Use the local AWS that runs on this machine.")] = False,
    port: Annotated[int, typer.Option(help="The port of the local AWS.", min=1, max=65535)] = DEFAULT_PORT,
    as_json: AsJson = False,
) -> None:
    """Spark and Hive jobs on Amazon EMR, run when something happens. Without a command: what runs, what failed last."""
    command = context.invoked_subcommand
    if as_json and command:
        raise UsageError(f"--json goes behind the command: emrp {command} --json")
    if local and (profile or region):
        raise UsageError("--local goes with neither --profile nor --region.")
    context.obj = Target(stack, local=local, port=port)
    if local:
        environment.use_local(port)
        ports = {"port": port}
        context.default_map = {"demo": ports, "local": dict.fromkeys(("up", "down", "status", "inbox"), ports)}
    else:
        environment.use_account(profile, region)
    if command is None:
        overview(context.obj, as_json=as_json)


@app.command()
def demo(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(help="The port of the local AWS; 0 takes a free one.", min=0, max=65535)
    ] = DEFAULT_PORT,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the local AWS up afterwards.")] = False,
) -> None:
    """Run the main job on this machine: a file lands, Spark runs, a result and an e-mail come out."""
    Demo(make_console(), context.ensure_object(Target).stack_name).run(port, keep=keep)


app.command("deploy", epilog=deploy.EXAMPLES)(deploy.deploy_command)


@app.command()
def smoke(context: typer.Context, yes: Yes = False) -> None:
    """Run the main job in a real account in a stack of its own, check its result, and delete everything again."""
    target: Target = context.obj
    target.connect()
    test = Smoke(make_console(), local=target.local)
    typer.echo(f"This deploys the stack {test.stack_name} to {account()} and deletes it again. {estimate()}")
    if not yes:
        confirm("Go on?")
    test.run()


# The commands of other modules, in the order of the help: one line each.
app.command("validate", epilog=author.VALIDATE_EXAMPLES)(author.validate_command)
app.command("plan", epilog=author.PLAN_EXAMPLES)(author.plan_command)
app.command("schema", epilog=author.SCHEMA_EXAMPLES)(author.schema_command)
app.command("run", epilog=control.RUN_EXAMPLES)(control.run_command)
app.command("watch", epilog=control.WATCH_EXAMPLES)(control.watch_command)
app.command("cancel", epilog=cancel.EXAMPLES)(cancel.cancel_command)
app.command("repair", epilog=control.REPAIR_EXAMPLES)(control.repair_command)
app.command("backfill", epilog=backfill.EXAMPLES)(backfill.backfill_command)
app.command("trigger", epilog=triggers.EXAMPLES)(triggers.trigger_command)
app.command("list", epilog=runs.LIST_EXAMPLES)(runs.list_command)
app.command("show", epilog=runs.SHOW_EXAMPLES)(runs.show_command)
app.command("logs", epilog=logs.EXAMPLES)(logs.logs_command)
app.command("cost", epilog=cost.EXAMPLES)(cost.cost_command)
app.command("report", epilog=report.EXAMPLES)(report.report_command)
app.command("sweep", epilog=sweep.EXAMPLES)(sweep.sweep_command)


def main() -> NoReturn:
    """Run the command line; whatever goes wrong is said in a sentence. Typer ends with 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows a "?" where it cannot show a letter
    try:
        app(prog_name="emrp")
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except (LocalAwsError, EmrPipelinesError) as error:
        _fail(str(error), EXIT_ENVIRONMENT)
    except (BotoCoreError, ClientError) as error:
        _fail(sentence(error), EXIT_ENVIRONMENT)
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
