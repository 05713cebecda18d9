"""A Spark job that does everything with `s3://` that jobs do; it prints one JSON line per operation.

Started by test_s3_filesystem.py: one driver for all operations. Argument: the bucket.
"""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as f

BUCKET = sys.argv[1]
ROOT = f"s3://{BUCKET}/work"
spark = SparkSession.builder.getOrCreate()
OPERATIONS: list[Callable[[], None]] = []


def operation(function: Callable[[], None]) -> Callable[[], None]:
    OPERATIONS.append(function)
    return function


def people() -> DataFrame:
    return spark.createDataFrame([Row(name="Ann", age=41, team="a"), Row(name="Bob", age=17, team="b")])


def names(path: str) -> list[str]:
    """The names below a path as Hadoop lists them."""
    files = file_system(path).listStatus(hadoop_path(path))
    return sorted(status.getPath().getName() for status in files)


def hadoop_path(path: str) -> Any:
    return spark._jvm.org.apache.hadoop.fs.Path(path)


def file_system(path: str) -> Any:
    return hadoop_path(path).getFileSystem(spark._jsc.hadoopConfiguration())


def write_text(path: str, text: str) -> None:
    stream = file_system(path).create(hadoop_path(path))
    stream.write(bytearray(text.encode()))
    stream.close()


def raises(action: Callable[[], object], text: str) -> None:
    message = "nothing was raised"
    try:
        action()
    except Exception as error:
        message = str(error)
    assert text in message, message[:500]


def round_trip(file_format: str, **options: object) -> None:
    path = f"{ROOT}/{file_format}"
    people().write.format(file_format).options(**options).save(path)
    found = spark.read.format(file_format).options(**options).load(path)
    assert sorted((row.name, int(row.age)) for row in found.collect()) == [("Ann", 41), ("Bob", 17)]


@operation
def csv() -> None:
    round_trip("csv", header=True)


@operation
def json_lines() -> None:
    round_trip("json")


@operation
def orc() -> None:
    round_trip("orc")


@operation
def parquet() -> None:
    round_trip("parquet")


@operation
def overwrite() -> None:
    people().write.parquet(f"{ROOT}/overwrite")
    people().limit(1).coalesce(1).write.mode("overwrite").parquet(f"{ROOT}/overwrite")
    assert spark.read.parquet(f"{ROOT}/overwrite").count() == 1


@operation
def append() -> None:
    for _ in range(2):
        people().write.mode("append").parquet(f"{ROOT}/append")
    assert spark.read.parquet(f"{ROOT}/append").count() == 4


@operation
def refuse_existing_output() -> None:
    people().write.parquet(f"{ROOT}/existing")
    raises(lambda: people().write.parquet(f"{ROOT}/existing"), "PATH_ALREADY_EXISTS")


@operation
def partitions() -> None:
    people().write.partitionBy("team").parquet(f"{ROOT}/partitions")
    assert names(f"{ROOT}/partitions") == ["_SUCCESS", "team=a", "team=b"]
    assert spark.read.parquet(f"{ROOT}/partitions").where("team = 'b'").head().name == "Bob"


@operation
def dynamic_partition_overwrite() -> None:
    path = f"{ROOT}/dynamic"
    people().write.partitionBy("team").parquet(path)
    changed = people().where("team = 'a'").withColumn("age", f.lit(1).cast("long"))
    changed.write.mode("overwrite").option("partitionOverwriteMode", "dynamic").partitionBy("team").parquet(path)
    assert {row.name: row.age for row in spark.read.parquet(path).collect()} == {"Ann": 1, "Bob": 17}


@operation
def text_rdd() -> None:
    spark.sparkContext.parallelize(["x", "y", "z"], 2).saveAsTextFile(f"{ROOT}/text")
    assert sorted(spark.sparkContext.textFile(f"{ROOT}/text").collect()) == ["x", "y", "z"]


@operation
def globs() -> None:
    for day in ("01", "02", "11"):
        write_text(f"{ROOT}/glob/2024-{day}.txt", day)
    found = spark.read.text(f"{ROOT}/glob/2024-0*.txt").collect()
    assert sorted(row.value for row in found) == ["01", "02"]


@operation
def table_with_location() -> None:
    people().write.option("path", f"{ROOT}/table").saveAsTable("people")
    spark.sql("INSERT INTO people VALUES ('Cid', 30, 'c')")
    assert spark.sql("SELECT sum(age) FROM people").head()[0] == 88
    spark.sql("INSERT OVERWRITE TABLE people SELECT 'Dan', 5, 'd'")
    assert [row.name for row in spark.table("people").collect()] == ["Dan"]


@operation
def streaming_with_checkpoint() -> None:
    source, target, checkpoint = f"{ROOT}/stream/in", f"{ROOT}/stream/out", f"{ROOT}/stream/checkpoint"
    for number, file in enumerate(("one", "two"), start=1):
        write_text(f"{source}/{file}.txt", file)
        stream = spark.readStream.text(source).writeStream.format("parquet")
        query = stream.option("checkpointLocation", checkpoint).trigger(availableNow=True).start(target)
        assert query.awaitTermination(60), "the query has not ended"
        assert spark.read.parquet(target).count() == number
    assert not [name for name in names(f"{checkpoint}/offsets") if name.endswith(".tmp")]


@operation
def large_file_in_parts() -> None:
    stream = file_system(ROOT).create(hadoop_path(f"{ROOT}/large.bin"))
    block = bytearray(range(256)) * (4 << 12)
    for _ in range(32):  # 128 MB
        stream.write(block)
    stream.write(bytearray(b"end"))
    stream.close()
    assert file_system(ROOT).getFileStatus(hadoop_path(f"{ROOT}/large.bin")).getLen() == (128 << 20) + 3
    opened = file_system(ROOT).open(hadoop_path(f"{ROOT}/large.bin"))
    opened.seek((128 << 20) - 1)
    assert [opened.read() for _ in range(5)] == [255, *b"end", -1]
    opened.close()


@operation
def missing_path() -> None:
    raises(lambda: spark.read.csv(f"{ROOT}/nothing/here.csv").count(), f"Path does not exist: {ROOT}/nothing/here.csv")


@operation
def missing_bucket() -> None:
    raises(lambda: spark.read.csv("s3://no-such-bucket/x.csv"), "The specified bucket does not exist: s3://no-such")
    raises(lambda: people().write.csv("s3://no-such-bucket/x"), "The specified bucket does not exist: s3://no-such")


@operation
def other_schemes() -> None:
    for scheme in ("s3a", "s3n"):
        path = f"{scheme}://{BUCKET}/work/{scheme}"
        people().write.parquet(path)
        assert spark.read.parquet(path).count() == 2
        assert spark.read.parquet(path.replace(scheme, "s3", 1)).count() == 2


@operation
def unusual_keys() -> None:
    expected = ["a b.txt", "c+d.txt", "e%20f.txt", "gül-☃-🚀.txt", "h&i=j?k#l.txt", "m:n'o(p)!*.txt"]
    listed = [name for name in names(f"s3://{BUCKET}/unusual") if name.endswith(".txt")]
    assert listed == expected, listed
    for status in file_system(ROOT).listStatus(hadoop_path(f"s3://{BUCKET}/unusual")):
        copy = spark._jvm.org.apache.hadoop.fs.Path(hadoop_path(f"{ROOT}/unusual"), "copy")
        file_system(ROOT).mkdirs(copy.getParent())
        assert file_system(ROOT).rename(status.getPath(), copy)
        assert file_system(ROOT).rename(copy, status.getPath())
    content = spark.read.text(f"s3://{BUCKET}/unusual").collect()
    assert sorted(row.value for row in content) == expected


@operation
def empty_files() -> None:
    write_text(f"{ROOT}/empty/none.csv", "")
    assert spark.read.schema("a INT").csv(f"{ROOT}/empty").count() == 0
    people().limit(0).write.csv(f"{ROOT}/empty-result")
    assert spark.read.schema("a INT").csv(f"{ROOT}/empty-result").count() == 0


@operation
def directories() -> None:
    files = file_system(ROOT)
    write_text(f"{ROOT}/tree/a/one.txt", "1")
    write_text(f"{ROOT}/tree/a/deep/two.txt", "2")
    files.mkdirs(hadoop_path(f"{ROOT}/tree/made"))
    assert names(f"{ROOT}/tree") == ["a", "made"]
    assert files.rename(hadoop_path(f"{ROOT}/tree/a"), hadoop_path(f"{ROOT}/tree/b"))
    assert names(f"{ROOT}/tree") == ["b", "made"]
    assert names(f"{ROOT}/tree/b") == ["deep", "one.txt"]
    assert files.rename(hadoop_path(f"{ROOT}/tree/b"), hadoop_path(f"{ROOT}/tree/made"))
    assert names(f"{ROOT}/tree/made/b") == ["deep", "one.txt"]
    assert not files.rename(hadoop_path(f"{ROOT}/tree/none"), hadoop_path(f"{ROOT}/tree/some"))
    raises(lambda: files.delete(hadoop_path(f"{ROOT}/tree"), False), "not empty")
    raises(lambda: files.create(hadoop_path(f"{ROOT}/tree/made/b/one.txt"), False), "Exists already")
    raises(lambda: files.mkdirs(hadoop_path(f"{ROOT}/tree/made/b/one.txt")), "Exists as a file")
    assert files.delete(hadoop_path(f"{ROOT}/tree"), True)
    assert not files.exists(hadoop_path(f"{ROOT}/tree"))
    assert not files.delete(hadoop_path(f"{ROOT}/tree"), True)


@operation
def bucket_as_directory() -> None:
    assert "work" in names(f"s3://{BUCKET}")
    assert "work" in names(f"s3://{BUCKET}/")


def main() -> None:
    for function in OPERATIONS:
        try:
            function()
            error = None
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"operation": function.__name__, "error": error}), flush=True)
    spark.stop()


main()
