"""What a step asks for, as a Spark driver of this machine can do it.

    command-runner.jar spark-submit ...      the Spark program
    command-runner.jar hive-script|hive ...  Spark SQL in Hive's place, as for EMR Serverless
    s3://.../my.jar                          its main class, with Spark's and Hadoop's classes around it

The result is a job driver in the shape of EMR Serverless, which `emrp.local.spark` runs.
"""

import io
import re
import shlex
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from emrp.local.emr_on_ec2.records import Record

JobDriver = dict[str, Any]

COMMAND_RUNNER = "command-runner.jar"
_ELSEWHERE = frozenset({"--master", "--deploy-mode", "--queue", "--total-executor-cores", "--principal", "--keytab"})
_FLAGS = frozenset({"--verbose", "-v", "--supervise"})
_OF_THE_HIVE_SCRIPT = {"--run-hive-script": 0, "--args": 0, "--hive-versions": 1, "--base-path": 1}  # with values
_MAIN_CLASS = re.compile(rb"^Main-Class:\s*(\S+)", re.MULTILINE)


class InvalidStep(Exception):  # noqa: N818 -- names what is wrong
    """A step that nothing on this machine can run; the message goes to its stderr."""


def is_jar_of_its_own(step: Record) -> bool:
    """Tell whether a step runs a JAR from S3 instead of a command of the cluster."""
    return _file_name(step["Config"]["Jar"]) != COMMAND_RUNNER


def job_driver_of(step: Record, main_class: str = "") -> JobDriver:
    """Return what a driver is to run; `main_class` is that of the JAR's manifest. Raises InvalidStep."""
    config = step["Config"]
    if is_jar_of_its_own(step):
        return _jar(config, config.get("MainClass") or main_class)
    if not config["Args"]:
        raise InvalidStep(f"{COMMAND_RUNNER} needs the name of a command as its first argument.")
    command, *arguments = config["Args"]
    match _file_name(command):
        case "spark-submit":
            return _spark_submit(arguments)
        case "hive-script" | "hive" | "spark-sql":
            return _hive(arguments)
    raise InvalidStep(
        f"The command {command} is not on this machine: {COMMAND_RUNNER} runs spark-submit, spark-sql, hive-script "
        "and hive here."
    )


def read_main_class(jar: bytes) -> str:
    """Return the main class that the manifest of a JAR names. Raises InvalidStep."""
    try:
        with zipfile.ZipFile(io.BytesIO(jar)) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF")
    except (zipfile.BadZipFile, KeyError) as error:
        raise InvalidStep("The step's JAR is not a JAR file with a manifest.") from error
    found = _MAIN_CLASS.search(manifest)
    if found is None:
        raise InvalidStep("The step names no MainClass and the manifest of its JAR has none.")
    return found[1].decode()


def location(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an object. Raises InvalidStep for what is none."""
    parts = urlsplit(uri)
    if parts.scheme not in {"s3", "s3a", "s3n"} or not parts.path.strip("/"):
        raise InvalidStep(f"{uri} is not an object in S3.")
    return parts.netloc, parts.path.lstrip("/")


def classifications_of(configurations: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the configurations of a cluster as EMR Serverless writes them."""
    return [
        {
            "classification": item.get("Classification"),
            "properties": item.get("Properties", {}),
            "configurations": classifications_of(item.get("Configurations", [])),
        }
        for item in configurations
    ]


def _spark_submit(arguments: Sequence[str]) -> JobDriver:
    """Keep the options that mean something on one machine."""
    options: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return _submit(word, list(words), options)
        name, separator, _ = word.partition("=")
        if name in _FLAGS:
            continue
        values = [] if separator and word.startswith("--") else [next(words, "")]
        if name not in _ELSEWHERE:
            options += [word, *values]
    raise InvalidStep("spark-submit needs a program: a JAR or a Python file.")


def _submit(entry_point: str, arguments: list[str], options: list[str]) -> JobDriver:
    submit = {
        "entryPoint": entry_point,
        "entryPointArguments": arguments,
        "sparkSubmitParameters": shlex.join(options),
    }
    return {"sparkSubmit": submit}


def _jar(config: Record, main_class: str) -> JobDriver:
    location(config["Jar"])
    options = ["--class", main_class]
    if properties := config.get("Properties"):
        settings = shlex.join(f"-D{name}={value}" for name, value in properties.items())
        options += ["--driver-java-options", settings]
    return _submit(config["Jar"], config["Args"], options)


def _hive(arguments: Sequence[str]) -> JobDriver:
    """Read the arguments of hive, which may be behind those of the script that runs it."""
    query = initialise = None
    options: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in _OF_THE_HIVE_SCRIPT:
            for _ in range(_OF_THE_HIVE_SCRIPT[word]):
                next(words, None)
            continue
        value = next(words, None)
        if value is None:
            raise InvalidStep(f"The argument {word} of hive needs a value.")
        if word in {"-f", "-e"}:
            query = value
        elif word == "-i":
            initialise = value
        else:
            options += [word, value]
    if query is None:
        raise InvalidStep("hive needs a script (-f) or a query (-e).")
    hive = {"query": query, "parameters": shlex.join(options)}
    return {"hive": hive | ({"initQueryFile": initialise} if initialise else {})}


def _file_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
