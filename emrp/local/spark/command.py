"""The command line, environment and files with which one Spark driver starts.

The driver is Java that runs `SparkSubmit`: exactly what `bin/spark-submit` ends up running, without the shell
scripts and the extra JVM (about a second) that only compute this command line.
"""

import importlib.util
import os
import re
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from emrp.local.spark.java import find_java
from emrp.local.spark.job_driver import (
    Classifications,
    Hive,
    InvalidJobDriver,
    SparkSubmit,
)

SPARK_HOME = Path(next(iter(getattr(importlib.util.find_spec("pyspark"), "submodule_search_locations", None) or [""])))
JAR = Path(__file__).with_name("jvm") / "emrp-spark.jar"

_LOG4J2 = "log4j2.properties"
_LOOPBACK = "127.0.0.1"
_DRIVER_ENVIRONMENT = "spark.emr-serverless.driverEnv."
_MAIN_CLASS = "emrp.driver.Driver"
_SQL_CLIENT = "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver"
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

# Drivers live for seconds: the fast compiler only, and the collector that starts fastest
_FAST_START = ["-XX:TieredStopAtLevel=1"]
_COLLECTOR = "-XX:+UseSerialGC"
# As org.apache.spark.launcher.JavaModuleOptions
_MODULE_OPTIONS = [
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-Djdk.reflect.useDirectMethodHandle=false",
    *(
        f"--add-opens={package}=ALL-UNNAMED"
        for package in (
            "java.base/java.lang",
            "java.base/java.lang.invoke",
            "java.base/java.lang.reflect",
            "java.base/java.io",
            "java.base/java.net",
            "java.base/java.nio",
            "java.base/java.util",
            "java.base/java.util.concurrent",
            "java.base/java.util.concurrent.atomic",
            "java.base/jdk.internal.ref",
            "java.base/sun.nio.ch",
            "java.base/sun.nio.cs",
            "java.base/sun.security.action",
            "java.base/sun.util.calendar",
            "java.security.jgss/sun.security.krb5",
        )
    ),
]


@dataclass(frozen=True)
class Jvm:
    """What a driver's JVM must be started with; two that are equal can run each other's jobs."""

    heap_bytes: int
    options: list[str]
    class_path: str
    archives: str
    log4j2: dict[str, str]
    environment: dict[str, str]

    def command(self, home: Path) -> list[str]:
        """Return the command that runs the JVM in a folder, for which `prepare` was called."""
        class_path = [self.class_path, str(JAR), str(SPARK_HOME / "jars" / "*")]
        return [
            str(find_java()),
            *_FAST_START,
            f"-Xmx{self.heap_bytes >> 20}m",
            f"-Djava.io.tmpdir={home / 'tmp'}",
            f"-Demrp.archives={self.archives}",
            *([f"-Dlog4j2.configurationFile={home / _LOG4J2}"] if self.log4j2 else []),
            *_MODULE_OPTIONS,
            *self.options,
            "-cp",
            os.pathsep.join(filter(None, class_path)),
            _MAIN_CLASS,
        ]

    def prepare(self, home: Path) -> None:
        """Write what the JVM finds in its folder."""
        (home / "tmp").mkdir(parents=True)
        if self.log4j2:
            _write_properties(home / _LOG4J2, _LOG_SETTINGS | self.log4j2)


@dataclass(frozen=True)
class DriverCommand:
    """A job as a driver runs it: the JVM that it needs and the arguments for spark-submit."""

    jvm: Jvm
    arguments: list[str]
    ui_url: str | None
    is_python: bool


def build_command(
    job: SparkSubmit | Hive,
    classifications: Classifications,
    *,
    name: str,
    work_dir: Path,
    environment: dict[str, str],
) -> DriverCommand:
    """Write the job's files to its work folder and return how to run it."""
    submitted = job.properties if isinstance(job, SparkSubmit) else {}
    ui_port = _free_port()
    properties = {"spark.app.name": name} | classifications.properties | submitted | _imposed_properties(ui_port)
    properties.pop("spark.local.dir", None)  # it is the JVM's temporary folder
    archives = properties.pop("spark.archives", "")
    work_dir.mkdir(parents=True, exist_ok=True)
    settings = work_dir / "spark-defaults.conf"
    _write_properties(settings, properties)
    return DriverCommand(
        Jvm(
            heap_bytes=_heap_bytes(properties.get("spark.driver.memory", "1g")),
            options=_java_options(properties),
            class_path=properties.get("spark.driver.extraClassPath", ""),
            archives=archives,
            log4j2=classifications.log4j2,
            environment=_environment(properties, classifications.environment) | environment,
        ),
        ["--properties-file", str(settings), *_application(job, work_dir)],
        f"http://{_LOOPBACK}:{ui_port}" if properties.get("spark.ui.enabled", "true") == "true" else None,
        isinstance(job, SparkSubmit) and job.entry_point.endswith(".py"),
    )


def plain_jvm(memory: str, environment: dict[str, str]) -> Jvm:
    """Return the JVM of a job that asks for nothing but memory."""
    return Jvm(
        heap_bytes=_heap_bytes(memory),
        options=_java_options({}),
        class_path="",
        archives="",
        log4j2={},
        environment=_environment({}, {}) | environment,
    )


def _imposed_properties(ui_port: int) -> dict[str, str]:
    """Return what a job cannot choose on this machine: where it runs and what `s3://` is."""
    imposed = {
        "spark.master": f"local[{os.cpu_count() or 1}]",
        "spark.submit.deployMode": "client",
        "spark.driver.host": _LOOPBACK,
        "spark.driver.bindAddress": _LOOPBACK,
        "spark.ui.port": str(ui_port),
    }
    for scheme in ("s3", "s3a", "s3n"):
        imposed[f"spark.hadoop.fs.{scheme}.impl"] = "emrp.s3.S3FileSystem"
        imposed[f"spark.hadoop.fs.AbstractFileSystem.{scheme}.impl"] = "emrp.s3.S3"
    return imposed


def _java_options(properties: dict[str, str]) -> list[str]:
    chosen: list[str] = []
    for key in ("spark.driver.defaultJavaOptions", "spark.driver.extraJavaOptions"):
        try:
            chosen += shlex.split(properties.get(key, ""))
        except ValueError as error:
            raise InvalidJobDriver(f"{key} cannot be parsed: {error}.") from error
    collector = [] if any(re.match(r"-XX:\+Use\w+GC$", option) for option in chosen) else [_COLLECTOR]
    return [*collector, *chosen]


def _heap_bytes(memory: str) -> int:
    """Return the heap for a requested memory: a job written for big workers gets half this machine at most."""
    size = re.fullmatch(r"(\d+)\s*([bkmgt]?)(?:i?b)?", memory.strip().lower())
    if not size:
        raise InvalidJobDriver(f"spark.driver.memory={memory} is not an amount of memory.")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(int(size[1]) * _UNITS[size[2]], machine // 2)


def _application(job: SparkSubmit | Hive, work_dir: Path) -> list[str]:
    if isinstance(job, SparkSubmit):
        main_class = ["--class", job.main_class] if job.main_class else []
        return [*main_class, job.entry_point, *job.arguments]
    query = job.query
    if not query.startswith(("s3://", "s3a://", "s3n://")):
        file = work_dir / "query.sql"
        file.write_text(query, encoding="utf-8")
        query = str(file)
    initialise = ["-i", job.init_query_file] if job.init_query_file else []
    return ["--class", _SQL_CLIENT, "spark-internal", *job.options, *initialise, "-f", query]


def _environment(properties: dict[str, str], exported: dict[str, str]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    chosen = exported | {
        key.removeprefix(_DRIVER_ENVIRONMENT): value
        for key, value in properties.items()
        if key.startswith(_DRIVER_ENVIRONMENT)
    }
    chosen.pop("JAVA_HOME", None)  # a folder of the service's image
    python = chosen.get("PYSPARK_DRIVER_PYTHON") or chosen.get("PYSPARK_PYTHON")
    # An interpreter of the job's own has no pyspark: SPARK_HOME lends it Spark's, which takes longer to import.
    spark = {"SPARK_HOME": str(SPARK_HOME)} if python else {"PYSPARK_PYTHON": sys.executable}
    return inherited | {"SPARK_LOCAL_IP": _LOOPBACK, "PYTHONUNBUFFERED": "1"} | spark | chosen


def _write_properties(file: Path, properties: dict[str, str]) -> None:
    """Write properties so that java.util.Properties reads them back unchanged."""
    file.write_text("".join(f"{_escape(key)}={_escape(value)}\n" for key, value in properties.items()), "utf-8")


def _escape(text: str) -> str:
    return re.sub(r"[\\=:#!\s]", lambda found: "\\" + _CONTROL.get(found[0], found[0]), text)


_CONTROL = {"\n": "n", "\r": "r", "\t": "t", "\f": "f"}


_LOG_SETTINGS = {
    "rootLogger.level": "info",
    "rootLogger.appenderRef.stdout.ref": "console",
    "appender.console.type": "Console",
    "appender.console.name": "console",
    "appender.console.target": "SYSTEM_ERR",
    "appender.console.layout.type": "PatternLayout",
    "appender.console.layout.pattern": "%d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex",
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
