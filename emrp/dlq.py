"""`emrp dlq`: what could not be handled, why, and how it is sent on its way again."""

import json
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from emr_pipelines.clock import duration
from emr_pipelines.reason import on_one_line

from emrp.command_line import AsJson, Target, Yes, confirm, make_console, print_json
from emrp.dead_letters import DeadLetter, held, redrive
from emrp.errors import EXIT_ENVIRONMENT, CommandError, UsageError
from emrp.lines import Line, print_lines
from emrp.phrases import moment

EXAMPLES = "Examples: emrp dlq list; emrp dlq show 3f2a91; emrp dlq redrive 3f2a91 77d0c2; emrp dlq redrive --all --yes"
_ID_CHARACTERS = 8

MessageId = Annotated[str, typer.Argument(metavar="ID", help="The message id, or how it begins.")]
MessageIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Message ids, or how they begin.")]

dlq_app = typer.Typer(
    help="Messages and events that could not be handled: list, show, redrive.", no_args_is_help=True, epilog=EXAMPLES
)


@dlq_app.command("list", epilog=EXAMPLES)
def list_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List what is in the queue of rejected triggers and in the dead-letter queues, the oldest first.

    QUEUE is rejected for messages that can never start a run, trigger for those that could not, event for the others.
    """
    target: Target = context.obj
    with held(target.stack()) as letters:
        if as_json:
            print_json({"messages": [letter.as_json() for letter in letters]})
        elif letters:
            print_lines(make_console(), ("ID", "AGE", "QUEUE", "WHAT"), [_line(letter) for letter in letters])
        else:
            typer.echo("There is no message that could not be handled.")


@dlq_app.command("show", epilog=EXAMPLES)
def show_command(context: typer.Context, message_id: MessageId, as_json: AsJson = False) -> None:
    """Show a message with everything that is known of it."""
    target: Target = context.obj
    with held(target.stack()) as letters:
        letter = _find(message_id, letters)
    if as_json:
        print_json(letter.as_json())
        return
    for name, text in (
        ("Message", letter.message_id),
        ("Queue", "rejected triggers" if letter.queue == "rejected" else f"{letter.queue} dead-letter queue"),
        ("Since", f"{moment(letter.sent_at)} ({duration(letter.age_seconds)})"),
        ("What", letter.what),
        ("Why", letter.reason),
        ("Target", letter.target),
        *letter.attributes.items(),
    ):
        typer.echo(f"{name:<14} {text}")
    typer.echo(f"\n{_pretty(letter.body)}")


@dlq_app.command("redrive", epilog=EXAMPLES)
def redrive_command(
    context: typer.Context,
    message_ids: MessageIds = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is there now.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send messages to where they were going, and remove them only then. It is safe to repeat: no run starts twice."""
    if every == bool(message_ids):
        raise UsageError("Name the messages to send, or use --all.")
    target: Target = context.obj
    with held(target.stack()) as letters:
        chosen = list(letters) if every else [_find(message_id, letters) for message_id in message_ids or []]
        if every and letters and not yes:
            confirm(f"Send {len(letters)} messages on their way again?")
        problems = {letter.message_id: _redrive(letter, letters) for letter in chosen}
    failed = {message_id: problem for message_id, problem in problems.items() if problem}
    sent = [message_id for message_id in problems if message_id not in failed]
    if as_json:
        print_json({"sent": sent, "failed": failed})
    else:
        typer.echo(f"Sent {len(sent)} of {len(problems)}.")
        for message_id, problem in failed.items():
            typer.echo(f"{message_id} is still there: {problem}", err=True)
    if failed:
        raise typer.Exit(EXIT_ENVIRONMENT)


def _redrive(letter: DeadLetter, letters: list[DeadLetter]) -> str | None:
    """Return why a message could not be sent, or None."""
    try:
        redrive(letter)
    except (CommandError, ClientError) as error:
        return str(error)
    letters.remove(letter)
    return None


def _find(message_id: str, letters: list[DeadLetter]) -> DeadLetter:
    found = [letter for letter in letters if letter.message_id.startswith(message_id)]
    if len(found) != 1:
        count = "No message has" if not found else f"{len(found)} messages have"
        raise UsageError(f'{count} an id that begins with "{message_id}": `emrp dlq list` shows what is there.')
    return found[0]


def _line(letter: DeadLetter) -> Line:
    cells = (letter.message_id[:_ID_CHARACTERS], duration(letter.age_seconds), letter.queue, on_one_line(letter.what))
    return Line(cells, on_one_line(letter.reason))


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
