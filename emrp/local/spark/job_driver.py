"""What a job run asks for, read as EMR Serverless reads it.

Everything that can be said about a Spark driver (sparkSubmitParameters, the `spark-defaults` and other
classifications) ends up as Spark properties, so that precedence is decided in one place, `command`.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Options of spark-submit that are another way to write a property
_OPTION_PROPERTIES = {
    "--archives": "spark.archives",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-cores": "spark.driver.cores",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--driver-memory": "spark.driver.memory",
    "--exclude-packages": "spark.jars.excludes",
    "--executor-cores": "spark.executor.cores",
    "--executor-memory": "spark.executor.memory",
    "--files": "spark.files",
    "--jars": "spark.jars",
    "--name": "spark.app.name",
    "--num-executors": "spark.executor.instances",
    "--packages": "spark.jars.packages",
    "--py-files": "spark.submit.pyFiles",
    "--repositories": "spark.jars.repositories",
}
_HIVE_OPTIONS = {"--hiveconf", "--hivevar", "-d", "--define", "--database"}


class InvalidJobDriver(Exception):  # noqa: N818 -- it is the request that is invalid, as in ValidationException
    """A job driver whose parameters cannot be understood."""


@dataclass(frozen=True)
class SparkSubmit:
    """The `sparkSubmit` job driver."""

    entry_point: str
    arguments: list[str]
    main_class: str | None = None
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hive:
    """The `hive` job driver; `query` and `init_query_file` are s3:// files or, for the query, its text."""

    query: str
    init_query_file: str | None = None
    options: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Classifications:
    """What the classifications of applicationConfiguration mean for a driver."""

    properties: dict[str, str]
    environment: dict[str, str]
    log4j2: dict[str, str]


def read_job_driver(job_driver: Mapping[str, Any]) -> SparkSubmit | Hive:
    """Read a job driver in the shape of the API."""
    submit: Mapping[str, Any] = job_driver.get("sparkSubmit") or {}
    hive: Mapping[str, Any] = job_driver.get("hive") or {}
    if submit.get("entryPoint"):
        main_class, properties = read_spark_submit_parameters(submit.get("sparkSubmitParameters") or "")
        return SparkSubmit(submit["entryPoint"], submit.get("entryPointArguments") or [], main_class, properties)
    if hive.get("query"):
        return Hive(hive["query"], hive.get("initQueryFile"), _read_hive_parameters(hive.get("parameters") or ""))
    raise InvalidJobDriver("A job driver needs either sparkSubmit with an entryPoint or hive with a query.")


def read_spark_submit_parameters(parameters: str) -> tuple[str | None, dict[str, str]]:
    """Read sparkSubmitParameters into the main class and properties; of a repeated property the last one counts."""
    main_class = None
    properties: dict[str, str] = {}
    for option, value in _options(parameters, "sparkSubmitParameters", flags={"--verbose", "-v"}):
        if option in {"--conf", "-c"}:
            key, separator, text = value.partition("=")
            if not separator:
                raise InvalidJobDriver(f"sparkSubmitParameters: --conf {value} is not of the form key=value.")
            properties[key.strip()] = text.strip()
        elif option == "--class":
            main_class = value
        elif option in _OPTION_PROPERTIES:
            properties[_OPTION_PROPERTIES[option]] = value
        else:
            raise InvalidJobDriver(f"sparkSubmitParameters: {option} is not supported.")
    return main_class, properties


def read_classifications(configurations: Iterable[Mapping[str, Any]]) -> Classifications:
    """Read applicationConfiguration; classifications that mean nothing on one machine are passed over."""
    meaning = Classifications({}, {}, {})
    for configuration in configurations:
        properties: dict[str, str] = configuration.get("properties") or {}
        match configuration.get("classification"):
            case "spark-defaults":
                meaning.properties.update(properties)
            case "hive-site" | "core-site" | "emrfs-site":
                meaning.properties.update({f"spark.hadoop.{key}": value for key, value in properties.items()})
            case "spark-driver-log4j2":
                meaning.log4j2.update(properties)
            case "spark-env":
                for nested in configuration.get("configurations") or []:
                    if nested.get("classification") == "export":
                        meaning.environment.update(nested.get("properties") or {})
    return meaning


def _read_hive_parameters(parameters: str) -> list[str]:
    words: list[str] = []
    for option, value in _options(parameters, "parameters", flags=set()):
        if option not in _HIVE_OPTIONS:
            raise InvalidJobDriver(f"parameters: {option} is not supported for Hive jobs.")
        words += [option, value]
    return words


def _options(parameters: str, field_name: str, flags: set[str]) -> Iterator[tuple[str, str]]:
    """Split parameters as a shell does and yield each option with its value."""
    try:
        words = iter(shlex.split(parameters))
    except ValueError as error:
        raise InvalidJobDriver(f"{field_name} cannot be parsed: {error}.") from error
    for word in words:
        if not word.startswith("-"):
            raise InvalidJobDriver(f"{field_name}: {word} is not an option.")
        if word in flags:
            continue
        option, separator, value = word.partition("=")
        if not (word.startswith("--") and separator):
            option, value = word, next(words, "")
            if not value:
                raise InvalidJobDriver(f"{field_name}: {option} needs a value.")
        yield option, value
