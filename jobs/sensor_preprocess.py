"""Sensor readings from CSV files, checked and cleaned, as Parquet: the input of a model or of a report.

    sensor_preprocess.py s3://bucket/landing/sensors/ s3://bucket/output/readings

A reading with a value that is missing, no number or impossible is left out, as is one that was sent twice.
Runs on EMR Serverless and on any Spark 3.4 or newer; only --output-document needs boto3, which EMR brings along.
"""

import argparse
import json
from typing import Any

import boto3
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StringType, StructType

# What a sensor can measure at all
RANGES = {"temperature": (-60.0, 150.0), "vibration": (0.0, 100.0), "pressure": (0.0, 40.0)}
_IDENTITY = ("device", "recorded_at")


def read_readings(spark: SparkSession, uri: str) -> DataFrame:
    """Read all columns as text, so that a bad value costs its row and not the job; another header fails it."""
    schema = StructType()
    for column in (*_IDENTITY, *RANGES):
        schema = schema.add(column, StringType())
    return spark.read.csv(uri, schema=schema, header=True, enforceSchema=False, mode="FAILFAST")


def clean(readings: DataFrame) -> DataFrame:
    """Convert the values and keep the readings that are complete and possible, each once."""
    values = [f.expr(f"try_cast({column} AS double)").alias(column) for column in RANGES]
    possible = [f.col(column).between(*limits) for column, limits in RANGES.items()]
    cleaned = readings.select(*_IDENTITY, *values).dropna()
    for condition in possible:
        cleaned = cleaned.where(condition)
    return cleaned.dropDuplicates([*_IDENTITY])


def main() -> None:
    """Read, clean and write, and leave what was found as a document when asked to."""
    arguments = parse_arguments()
    spark = (
        SparkSession.builder.appName("sensor_preprocess")
        # Else only the columns in use are read, and checked.
        .config("spark.sql.csv.parser.columnPruning.enabled", "false")
        .getOrCreate()
    )
    raw = read_readings(spark, arguments.input)
    clean(raw).write.mode("overwrite").parquet(arguments.output)
    received, kept = raw.count(), spark.read.parquet(arguments.output).count()
    print(f"Wrote {kept} of {received} readings to {arguments.output}")
    if not kept:
        raise ValueError(f"None of the {received} readings in {arguments.input} is usable")
    if arguments.output_document:
        document = {"uri": arguments.output, "readings": kept, "rejected": received - kept}
        leave_document(arguments.output_document, document)
    spark.stop()


def leave_document(uri: str, document: dict[str, Any]) -> None:
    """Write a JSON object to an s3:// address, where other jobs find it."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(document), ContentType="application/json")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="URI of a CSV file, or of a folder of them")
    parser.add_argument("output", help="URI of the folder for the Parquet files")
    parser.add_argument("--output-document", help="URI of a JSON object in S3 that gets what was found")
    return parser.parse_args()


if __name__ == "__main__":
    main()
