"""The sentence that explains a failed job run."""

from pathlib import Path

import pytest

from emrp.local.spark import failure_details

START = "Job failed, please check complete logs in configured logging destination. ExitCode: 1."
MISSING_PATH = """\
25/11/21 12:00:00 INFO SparkContext: Running Spark version 3.5.9
Traceback (most recent call last):
  File "/tmp/spark-1/salaries.py", line 7, in <module>
    spark.read.csv("s3://b/none.csv")
  File "/usr/lib/pyspark/errors/exceptions/captured.py", line 185, in deco
    raise converted from None
pyspark.errors.exceptions.captured.AnalysisException: [PATH_NOT_FOUND] Path does not exist: s3://b/none.csv.
"""
BAD_NUMBER = """\
Traceback (most recent call last):
  File "/tmp/spark-1/salaries.py", line 9, in <module>
    frame.count()
py4j.protocol.Py4JJavaError: o40.count failed.
: org.apache.spark.SparkException: Job aborted: Task 0 failed: java.lang.NumberFormatException: For input string: "x"
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2856)
Caused by: org.apache.spark.sql.catalyst.util.BadRecordException: java.lang.NumberFormatException: For input string: "x"
\tat org.apache.spark.sql.catalyst.csv.UnivocityParser.parse(UnivocityParser.scala:366)
\t... 25 more
Caused by: java.lang.NumberFormatException: For input string: "x"
\tat java.base/java.lang.Long.parseLong(Long.java:711)
\t... 28 more

"""
ERROR_IN_EXCEPT = """\
Traceback (most recent call last):
  File "job.py", line 2, in <module>
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "job.py", line 4, in <module>
ValueError: the second
of two lines
"""
JAVA = """\
25/11/21 12:00:00 ERROR Main: something happened
Exception in thread "main" java.io.FileNotFoundException: No such file or directory: s3://bucket/jobs/none.py
\tat emrp.s3.S3FileSystem.getFileStatus(S3FileSystem.java:84)
25/11/21 12:00:01 INFO ShutdownHookManager: Shutdown hook called
"""


@pytest.mark.parametrize(
    ("stdout", "stderr", "reason"),
    [
        (
            MISSING_PATH,
            "",
            "pyspark.errors.exceptions.captured.AnalysisException: [PATH_NOT_FOUND] Path does not exist: s3://b/none.csv.",
        ),
        (
            BAD_NUMBER,
            "",
            'java.lang.NumberFormatException: For input string: "x"; py4j.protocol.Py4JJavaError: o40.count failed.',
        ),
        (ERROR_IN_EXCEPT, "", "ValueError: the second of two lines"),
        ("", JAVA, "java.io.FileNotFoundException: No such file or directory: s3://bucket/jobs/none.py"),
        (
            "",
            "25/11/21 12:00:00 ERROR SparkSubmit: Failed to load class a.B.\n",
            "SparkSubmit: Failed to load class a.B.",
        ),
        (
            "job.py: error: argument --top: invalid value\n",
            "25/11/21 12:00:00 INFO Hook: bye\n",
            "job.py: error: argument --top: invalid value",
        ),
    ],
    ids=["python", "java below python", "python within python", "java", "log line", "plain words"],
)
def test_reason_is_the_last_failure_when_logs_hold_one(tmp_path: Path, stdout: str, stderr: str, reason: str) -> None:
    (tmp_path / "stdout").write_text(stdout)
    (tmp_path / "stderr").write_text(stderr)
    details = failure_details(1, tmp_path / "stdout", tmp_path / "stderr")
    assert details == f"{START} Last few exceptions: {reason}"


def test_details_have_256_characters_at_most_when_the_reason_is_long(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("Traceback (most recent call last):\n  File\nValueError: " + "x" * 999)
    details = failure_details(1, tmp_path / "stdout", tmp_path / "stderr")
    assert len(details) == 256
    assert details.endswith("xxx...")


def test_details_give_the_exit_code_only_when_there_is_no_log(tmp_path: Path) -> None:
    assert failure_details(1, tmp_path / "stdout", tmp_path / "stderr") == START
