"""`emrp deploy`: the stack with the project's programs and pipelines, or only pipeline files."""

from pathlib import Path
from typing import Annotated

import typer

from emrp import pipelines
from emrp.command_line import AsJson, Target, Yes, account, confirm, make_console, pairs, print_json
from emrp.deployment import Deployment
from emrp.errors import PipelineFileError, UsageError
from emrp.progress import Stages
from emrp.project import Project
from emrp.stack import Stack

EXAMPLES = "Examples: emrp deploy; emrp deploy pipelines/ --prune; emrp --local deploy pipelines/salaries.yaml"


def deploy_command(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER|FILE]...", help="Only register these pipelines; the stack stays as it is."),
    ] = None,
    *,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A template parameter, as Name=value; repeatable.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Retire the pipelines that have no file in the folder any more.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deploy the stack with SAM, upload jobs/ and register pipelines/; or register only the named pipelines."""
    target: Target = context.obj
    stages = Stages(make_console(quiet=as_json))
    if paths and parameter:
        raise UsageError("--parameter is for the stack, which stays as it is when pipelines are named.")
    try:
        if paths:
            _deploy_pipelines(stages, target, paths, prune=prune, yes=yes, as_json=as_json)
        else:
            _deploy_stack(stages, target, pairs(parameter), prune=prune, yes=yes, as_json=as_json)
    except PipelineFileError as error:
        if as_json:
            print_json({"files": error.results})
        raise


def _deploy_pipelines(
    stages: Stages, target: Target, paths: list[Path], *, prune: bool, yes: bool, as_json: bool
) -> None:
    whole = all(path.is_dir() for path in paths)
    if prune and not whole:
        raise UsageError("--prune goes with a folder: a single file does not say what should be gone.")
    files = pipelines.read_files(paths)
    stack = target.stack()
    changes = pipelines.compare(stack, files, whole=whole, prune=prune)
    pipelines.show(stages.console, changes)
    if not yes and not target.local and pipelines.pending(changes):
        confirm(f"Change the pipelines of the stack {stack.name} in {account()}?")
    _finish(stages, stack, changes, as_json=as_json, more={})


def _deploy_stack(
    stages: Stages, target: Target, parameters: dict[str, str], *, prune: bool, yes: bool, as_json: bool
) -> None:
    project = Project.find()
    deployment = Deployment(project, target.stack_name, target.local, parameters)
    deployment.check_parameters()
    files = pipelines.read_files([project.pipelines])
    target.connect()
    if not yes and not target.local:
        confirm(f"Deploy the stack {target.stack_name} to {account()}?")
    deployment.run(stages)
    stack = target.stack()
    with stages.stage("Upload the programs"):
        programs = project.upload_programs(stack.bucket)
    changes = pipelines.compare(stack, files, whole=True, prune=prune)
    pipelines.show(stages.console, changes)
    _finish(stages, stack, changes, as_json=as_json, more={"stack": stack.as_json(), "uploaded": programs})
    stages.console.print(
        f"An upload to s3://{stack.bucket}/landing/salaries/ starts a run; once a file is there, so does: "
        f"{stack.command} run salaries",
        markup=False,
        soft_wrap=True,
    )


def _finish(
    stages: Stages,
    stack: Stack,
    changes: list[pipelines.Change],
    *,
    as_json: bool,
    more: dict[str, object],
) -> None:
    versions = pipelines.apply(stages, stack, changes)
    if as_json:
        print_json(
            {
                **more,
                "pipelines": [
                    {"file": change.key, "change": change.kind, "version": versions.get(change.key)}
                    for change in changes
                ],
            }
        )
