"""What a job run asks for, read as EMR Serverless reads it."""

from typing import Any

import pytest

from emrp.local.spark import InvalidJobDriver
from emrp.local.spark.job_driver import (
    Hive,
    SparkSubmit,
    read_classifications,
    read_job_driver,
    read_spark_submit_parameters,
)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", {}),
        ("--conf spark.executor.cores=4", {"spark.executor.cores": "4"}),
        ("--conf 'spark.a=two words' --conf spark.b=x=y", {"spark.a": "two words", "spark.b": "x=y"}),
        ("--conf spark.a=1 --conf spark.a=2", {"spark.a": "2"}),
        ("--driver-memory 8g --conf spark.driver.memory=4g", {"spark.driver.memory": "4g"}),
        ("--jars=s3://b/a.jar,s3://b/b.jar --verbose", {"spark.jars": "s3://b/a.jar,s3://b/b.jar"}),
        (
            '--driver-java-options "-XX:+UseG1GC -Da=b"\n--num-executors 3',
            {"spark.driver.extraJavaOptions": "-XX:+UseG1GC -Da=b", "spark.executor.instances": "3"},
        ),
    ],
)
def test_properties_are_read_when_parameters_are_as_on_a_shell(parameters: str, expected: dict[str, str]) -> None:
    assert read_spark_submit_parameters(parameters) == (None, expected)


def test_main_class_is_read_when_job_is_a_jar() -> None:
    job = read_job_driver(
        {"sparkSubmit": {"entryPoint": "s3://b/a.jar", "sparkSubmitParameters": "--class org.example.Main"}}
    )
    assert job == SparkSubmit("s3://b/a.jar", [], "org.example.Main", {})


def test_query_and_options_are_read_when_job_is_hive() -> None:
    job = read_job_driver({"hive": {"query": "SELECT 1", "parameters": "--hiveconf a=b --hivevar 'c=d e'"}})
    assert job == Hive("SELECT 1", None, ["--hiveconf", "a=b", "--hivevar", "c=d e"])


@pytest.mark.parametrize(
    ("job_driver", "message"),
    [
        ({}, "needs either"),
        ({"sparkSubmit": {"entryPoint": "x.py", "sparkSubmitParameters": "--conf 'spark.a=b"}}, "No closing quotation"),
        ({"sparkSubmit": {"entryPoint": "x.py", "sparkSubmitParameters": "--conf spark.a"}}, "key=value"),
        ({"sparkSubmit": {"entryPoint": "x.py", "sparkSubmitParameters": "--conf"}}, "--conf needs a value"),
        ({"sparkSubmit": {"entryPoint": "x.py", "sparkSubmitParameters": "spark.a=b"}}, "is not an option"),
        (
            {"sparkSubmit": {"entryPoint": "x.py", "sparkSubmitParameters": "--master yarn"}},
            "--master is not supported",
        ),
        ({"hive": {"query": "SELECT 1", "parameters": "-f other.sql"}}, "-f is not supported"),
    ],
)
def test_job_driver_is_refused_when_it_cannot_be_understood(job_driver: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobDriver, match=message):
        read_job_driver(job_driver)


def test_classifications_are_read_when_they_mean_something_here() -> None:
    found = read_classifications(
        [
            {"classification": "spark-defaults", "properties": {"spark.a": "1"}},
            {"classification": "hive-site", "properties": {"hive.b": "2"}},
            {"classification": "spark-driver-log4j2", "properties": {"rootLogger.level": "warn"}},
            {"classification": "spark-env", "configurations": [{"classification": "export", "properties": {"C": "3"}}]},
            {"classification": "spark-executor-log4j2", "properties": {"rootLogger.level": "debug"}},
        ]
    )
    assert found.properties == {"spark.a": "1", "spark.hadoop.hive.b": "2"}
    assert found.log4j2 == {"rootLogger.level": "warn"}
    assert found.environment == {"C": "3"}
