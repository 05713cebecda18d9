"""Words of a text and how often they occur, in three steps that can run as jobs of their own.

    wordcount.py split s3://bucket/landing/texts/ s3://bucket/output/parts --parts 1,2,3
    wordcount.py count s3://bucket/output/parts s3://bucket/output/counts --part 1      (one for each part, in parallel)
    wordcount.py merge s3://bucket/output/counts s3://bucket/output/words

Runs on EMR Serverless and on any Spark 3.4 or newer; only --output-document needs boto3, which EMR brings along.
"""

import argparse
import json
from typing import Any

import boto3
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

_NOT_IN_WORDS = r"[^\p{L}\p{N}']+"
_MOST_COMMON = 10


def split(spark: SparkSession, arguments: argparse.Namespace) -> dict[str, Any]:
    """Deal the lines of a text out to parts of the same size."""
    lines = spark.read.text(arguments.input)
    if lines.isEmpty():
        raise ValueError(f"There is no text in {arguments.input}")
    names = f.array(*[f.lit(name) for name in arguments.parts])
    dealt = lines.repartition(len(arguments.parts)).withColumn("part", names[f.spark_partition_id()])
    dealt.write.partitionBy("part").mode("overwrite").text(arguments.output)
    return {"parts": arguments.parts, "lines": lines.count()}


def count(spark: SparkSession, arguments: argparse.Namespace) -> dict[str, Any]:
    """Count the words of one part; a part that got no line has none."""
    lines = spark.read.schema("value string, part string").text(arguments.input).where(f.col("part") == arguments.part)
    output = f"{arguments.output}/part={arguments.part}"
    count_words(lines).write.mode("overwrite").parquet(output)
    return {"words": total(spark.read.parquet(output))}


def merge(spark: SparkSession, arguments: argparse.Namespace) -> dict[str, Any]:
    """Add up the counts of all parts into one CSV file, the most common word first."""
    parts = spark.read.parquet(arguments.input)
    found = total(parts)
    if arguments.expected_words not in {None, found}:
        raise ValueError(f"{arguments.input} has {found} words, but {arguments.expected_words} were counted")
    words = parts.groupBy("word").agg(f.sum("count").alias("count")).orderBy(f.desc("count"), "word")
    words.coalesce(1).write.csv(arguments.output, mode="overwrite", header=True)
    most_common = {row["word"]: row["count"] for row in words.head(_MOST_COMMON)}
    return {"words": found, "distinctWords": words.count(), "mostCommon": most_common}


def count_words(lines: DataFrame) -> DataFrame:
    """Count without regard to case; a word consists of letters, digits and apostrophes."""
    words = lines.select(f.explode(f.split(f.lower("value"), _NOT_IN_WORDS)).alias("word"))
    return words.where(f.length("word") > 0).groupBy("word").agg(f.count("*").alias("count"))


def total(counts: DataFrame) -> int:
    """Sum up the counts."""
    found: int = counts.agg(f.coalesce(f.sum("count"), f.lit(0))).head()[0]
    return found


def main() -> None:
    """Do one step, print what it found and leave that as a document when asked to."""
    arguments = parse_arguments()
    spark = SparkSession.builder.appName(f"wordcount {arguments.step.__name__}").getOrCreate()
    document = arguments.step(spark, arguments)
    print(f"Wrote {arguments.output}: {document}")
    if arguments.output_document:
        leave_document(arguments.output_document, document)
    spark.stop()


def leave_document(uri: str, document: dict[str, Any]) -> None:
    """Write a JSON object to an s3:// address, where other jobs find it."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(document), ContentType="application/json")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True)
    for step in (split, count, merge):
        command = steps.add_parser(step.__name__, help=step.__doc__)
        command.set_defaults(step=step)
        command.add_argument("input", help="URI of the text (split), or of what the step before has written")
        command.add_argument("output", help="URI of the folder for the result")
        command.add_argument("--output-document", help="URI of a JSON object in S3 that gets what was found")
        if step is split:
            command.add_argument("--parts", type=names, required=True, help="names of the parts, with commas between")
        elif step is count:
            command.add_argument("--part", required=True, help="name of the part")
        else:
            command.add_argument("--expected-words", type=int, help="how many words all parts have; fail if it differs")
    return parser.parse_args()


def names(text: str) -> list[str]:
    """Convert names with commas between."""
    found = text.split(",")
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(text)
    return found


if __name__ == "__main__":
    main()
