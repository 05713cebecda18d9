"""Imports point inward, AWS is called in one place only, and the handlers need no more than they declare."""

import ast
import os
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.contract.cloud import DOMAIN, FUNCTIONS, ROOT, environment_of, function_folders

REQUIREMENTS = ROOT / "dependencies" / "requirements.txt"
LAMBDA_HAS = "boto3"
SOURCES = sorted(FUNCTIONS.rglob("*.py"))
# What turns domain events into metrics: only handlers use it, so the command line does without Powertools.
USES_POWERTOOLS = DOMAIN / "gateways" / "event_metrics.py"
# Reads the service models that botocore brings along; it calls nothing.
READS_MODELS = DOMAIN / "service_model.py"
_DEADLINE_SECONDS = 60


def imports(path: Path) -> set[str]:
    """Return the full name of everything that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages(path: Path) -> set[str]:
    """Return the packages of other people that a file imports."""
    ours = {"emr_pipelines", *function_folders()}
    return {name.partition(".")[0] for name in imports(path)} - ours - sys.stdlib_module_names


def relative(path: Path) -> str:
    """Name a test after a file."""
    return str(path.relative_to(FUNCTIONS))


def declared() -> list[Requirement]:
    """Return the lines of dependencies/requirements.txt."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_source_calls_aws_in_a_gateway_only_when_it_does(path: Path) -> None:
    aws = packages(path) & {"boto3", "botocore", "s3transfer"}

    if path == READS_MODELS:
        assert aws == {"botocore"}
        assert {name for name in imports(path) if name.startswith("botocore")} <= {
            "botocore.session",
            *(f"botocore.model.{shape}Shape" for shape in ("List", "Map", "String", "Structure")),
            "botocore.model.Shape",
        }
    elif path.parent != DOMAIN / "gateways":
        assert aws == set()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_source_knows_no_local_aws_when_it_runs_in_lambda(path: Path) -> None:
    assert "emrp" not in {name.partition(".")[0] for name in imports(path)}
    text = path.read_text().lower()
    assert not [word for word in ("localhost", "127.0.0.1", "endpoint_url", "ministack", "moto") if word in text]


@pytest.mark.parametrize("folder", function_folders())
def test_handler_joins_a_use_case_and_gateways_when_it_is_thin(folder: str) -> None:
    path = FUNCTIONS / folder / "app.py"

    assert packages(path) <= {"aws_lambda_powertools"}
    assert f"emr_pipelines.{folder}.{folder}" in imports(path)
    assert not {name.partition(".")[0] for name in imports(path)} & set(function_folders())


@pytest.mark.parametrize("path", sorted(DOMAIN.rglob("*.py")), ids=relative)
def test_domain_knows_no_handler_when_it_is_used_elsewhere(path: Path) -> None:
    foreign = {name.partition(".")[0] for name in imports(path)} & {*function_folders(), "aws_lambda_powertools"}

    assert foreign == ({"aws_lambda_powertools"} if path == USES_POWERTOOLS else set())
    if path != USES_POWERTOOLS:
        assert f"emr_pipelines.gateways.{USES_POWERTOOLS.stem}" not in {n.rpartition(".")[0] for n in imports(path)}


@pytest.mark.parametrize("path", sorted((DOMAIN / "gateways").glob("*.py")), ids=relative)
def test_gateway_knows_no_use_case_when_it_talks_to_aws(path: Path) -> None:
    use_cases = {f"emr_pipelines.{folder}" for folder in function_folders()}

    assert not {name.rpartition(".")[0] for name in imports(path)} & use_cases


def test_requirements_are_exact_and_those_that_are_tested_when_packaged() -> None:
    for requirement in declared():
        assert str(requirement.specifier) == f"=={version(requirement.name)}", requirement.name


def test_requirements_are_all_imported_when_packaged() -> None:
    modules = {
        "aws-lambda-powertools": "aws_lambda_powertools",
        "pyyaml": "yaml",
        "typing-extensions": "typing_extensions",
    }
    imported = {package for path in SOURCES for package in packages(path)}

    read_by_zoneinfo = {"tzdata"}
    assert {modules.get(requirement.name, requirement.name) for requirement in declared()} - read_by_zoneinfo == (
        imported - {"boto3", "botocore"}
    )


@pytest.fixture(scope="session")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what dependencies/requirements.txt and Lambda bring, and nothing else of this environment."""
    folder = tmp_path_factory.mktemp("site-packages")
    waiting = [*declared(), Requirement(LAMBDA_HAS)]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not applies or canonicalize_name(requirement.name) in seen:
            continue
        seen.add(canonicalize_name(requirement.name))
        installed = distribution(requirement.name)
        waiting += [Requirement(line) for line in installed.requires or []]
        for top in {file.parts[0] for file in installed.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(installed.locate_file(top))))
    return folder


@pytest.mark.parametrize("folder", function_folders())
def test_handler_is_imported_when_only_its_requirements_are_there(folder: str, site_packages: Path) -> None:
    environment = {
        **dict.fromkeys(environment_of(folder), "1"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(FUNCTIONS), str(site_packages)]),
    }
    program = f"from {folder}.app import handler; assert callable(handler)"
    finished = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", program],
        env=environment,
        cwd=ROOT.anchor,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_SECONDS,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
