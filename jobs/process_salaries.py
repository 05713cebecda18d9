"""Highest and lowest salary per job title, from CSV files of the "data science job salaries" set.

    process_salaries.py s3://bucket/landing/salaries/2023.csv s3://bucket/output/salaries --top 10

Runs on EMR Serverless and on any Spark 3.4 or newer; it needs nothing but PySpark.
"""

import argparse

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import IntegerType, LongType, StringType, StructType

SCHEMA = (
    StructType()
    .add("work_year", IntegerType())
    .add("experience_level", StringType())
    .add("employment_type", StringType())
    .add("job_title", StringType())
    .add("salary", LongType())
    .add("salary_currency", StringType())
    .add("salary_in_usd", LongType())
    .add("employee_residence", StringType())
    .add("remote_ratio", IntegerType())
    .add("company_location", StringType())
    .add("company_size", StringType())
)


def read_salaries(spark: SparkSession, uri: str) -> DataFrame:
    """Read the input; a row that is not as the schema says, or another header, fails the job."""
    return spark.read.csv(uri, schema=SCHEMA, header=True, enforceSchema=False, mode="FAILFAST")


def salary_range_by_title(salaries: DataFrame) -> DataFrame:
    """Compare in one currency and as numbers; the title with the highest salary comes first."""
    return (
        salaries.groupBy("job_title")
        .agg(
            f.max("salary_in_usd").alias("maximum_salary"),
            f.min("salary_in_usd").alias("minimum_salary"),
            f.count("*").alias("count"),
        )
        .orderBy(f.desc("maximum_salary"), "job_title")
    )


def main() -> None:
    """Read, aggregate and write the result as one CSV file, in place of an earlier one."""
    arguments = parse_arguments()
    spark = (
        SparkSession.builder.appName("process_salaries")
        # Else only the columns in use are read, and checked.
        .config("spark.sql.csv.parser.columnPruning.enabled", "false")
        .getOrCreate()
    )
    salaries = read_salaries(spark, arguments.input)
    if salaries.isEmpty():
        raise ValueError(f"There are no salaries in {arguments.input}")
    result = salary_range_by_title(salaries)
    if arguments.top is not None:
        result = result.limit(arguments.top)
    result.coalesce(1).write.csv(arguments.output, mode="overwrite", header=True)
    print(f"Wrote the salary ranges to {arguments.output}")
    spark.stop()


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="URI of a CSV file, or of a folder of them")
    parser.add_argument("output", help="URI of the folder for the result")
    parser.add_argument("--top", type=positive_integer, help="keep this many job titles (default: all)")
    return parser.parse_args()


def positive_integer(text: str) -> int:
    """Convert a number of rows."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    main()
