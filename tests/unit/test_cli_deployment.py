import os
import select
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from emrp import deployment
from emrp.deployment import Deployment, configured_parameters
from emrp.errors import EXIT_USAGE, CommandError, UsageError
from emrp.progress import Stages
from emrp.project import Project, this_architecture, this_runtime
from tests.unit.conftest import ROOT, Command

SAMCONFIG = """
[default.deploy.parameters]
parameter_overrides = "NotificationEmail=\\"a@example.com\\" PythonRuntime=python3.13"
[local.deploy.parameters]
parameter_overrides = ["NotificationEmail=b@example.com", "Architecture=arm64x"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "statemachine").mkdir()
    (tmp_path / "template.yaml").touch()
    (tmp_path / "samconfig.toml").write_text(SAMCONFIG)
    return Project(tmp_path)


def install_sam(project: Project, script: str) -> None:
    """Put a SAM CLI in place that does what the script says."""
    project.tools.mkdir(parents=True)
    sam = project.tools / "sam"
    sam.write_text(f"#!/bin/sh\n{script}\n")
    sam.chmod(sam.stat().st_mode | stat.S_IXUSR)


def stages() -> Stages:
    return Stages(Console(file=StringIO(), _environ={}))


def test_sam_builds_and_deploys_with_all_parameters(project: Project) -> None:
    install_sam(project, 'echo "$@ $SAM_CLI_TELEMETRY" >> calls')

    Deployment(project, "stack", local=True, parameters={"HeartbeatSeconds": "5"}).run(stages())

    build, deploy = (project.folder / "calls").read_text().splitlines()
    overrides = (
        f'--parameter-overrides NotificationEmail="b@example.com" Architecture="{this_architecture()}" '
        f'PythonRuntime="{this_runtime()}" HeartbeatSeconds="5" 0'
    )
    assert build == f"build --config-env local --cached --parallel {overrides}"
    assert deploy.startswith("deploy --config-env local --stack-name stack --no-confirm-changeset")
    assert deploy.endswith(overrides)


def test_parameters_of_samconfig_win_when_the_stack_is_in_the_cloud(project: Project) -> None:
    parameters = Deployment(project, "stack").all_parameters()

    assert parameters == {"NotificationEmail": "a@example.com", "PythonRuntime": "python3.13"}


def test_nothing_is_deployed_when_a_parameter_is_unknown(emrp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployment, "run", lambda *_: pytest.fail("It is deployed."))

    code, _, complaint = emrp("deploy", "--parameter", "NotificationEmial=me@example.com", "--yes")

    assert code == EXIT_USAGE
    assert complaint == 'The template has no parameter "NotificationEmial"; did you mean "NotificationEmail"?\n'


def test_parameters_of_the_template_are_accepted_when_they_are_spelled_right() -> None:
    Deployment(Project(ROOT), "stack", local=True, parameters={"HeartbeatSeconds": "5"}).check_parameters()


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("echo all well; echo; echo not well", "\n  all well\n  not well"),
        (
            "echo all well; echo 'Error: no template' >&2; echo See the manual",
            "\n  Error: no template\n  See the manual",
        ),
    ],
)
def test_end_of_the_output_is_shown_when_sam_fails(output: str, shown: str, project: Project) -> None:
    install_sam(project, f"{output}; exit 1")

    with pytest.raises(CommandError) as error:
        Deployment(project, "stack").run(stages())

    log = project.folder / ".local" / "sam-build.log"
    assert str(error.value) == f"`sam build` failed. The whole output is in {log}; it ends with:{shown}"


def test_network_is_named_when_sam_cannot_download_a_requirement(project: Project) -> None:
    install_sam(project, "echo 'Error: Could not satisfy the requirement: jinja2==3.1.6'; exit 1")

    with pytest.raises(CommandError, match=r"could not download jinja2==3\.1\.6: check the network and the proxy"):
        Deployment(project, "stack").run(stages())


def test_sam_and_its_children_are_ended_when_the_command_is_interrupted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = project.folder / "alive"  # stays open for writing as long as SAM or its child lives
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    install_sam(project, "exec 9> alive; sleep 100 & echo started; wait")

    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(deployment, "escape", interrupt)  # is called with the first line of output
    terminal = Console(file=StringIO(), force_terminal=True, _environ={})

    with pytest.raises(KeyboardInterrupt):
        Deployment(project, "stack").run(Stages(terminal))

    readable, _, _ = select.select([reader], [], [], 10)
    assert readable, "SAM's child is still alive"
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_parameters_are_empty_when_there_is_no_samconfig(tmp_path: Path) -> None:
    assert configured_parameters(tmp_path / "samconfig.toml", "default") == {}


def test_samconfig_is_refused_when_it_is_not_toml(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text("= nothing")

    with pytest.raises(CommandError, match="is not valid TOML"):
        configured_parameters(tmp_path / "samconfig.toml", "default")


def test_project_is_found_when_the_current_folder_is_inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder / "statemachine")

    assert Project.find() == project


def test_project_is_refused_when_the_current_folder_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="is not in a checkout of EMR Pipelines"):
        Project.find()


def test_programs_are_uploaded_under_their_own_paths(project: Project, s3: Any) -> None:
    for name in ("pipelines/new.yaml", "jobs/sub/job.py", "jobs/__pycache__/job.pyc", "jobs/.hidden", "other/x"):
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name)

    assert project.upload_programs("bucket") == ["jobs/sub/job.py"]

    stored = boto3.client("s3").get_object(Bucket="bucket", Key="jobs/sub/job.py")["Body"].read()
    assert stored == b"jobs/sub/job.py"
