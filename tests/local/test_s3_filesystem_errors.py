"""The file system behind `s3://` when S3 fails, refuses or hangs up: Hadoop's own shell against a stub."""

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from emrp.local.spark.command import JAR, SPARK_HOME
from emrp.local.spark.java import find_java

CONTENT = b"hello"
LONG = 60
ReadFile = Callable[[], subprocess.CompletedProcess[str]]


@dataclass
class StubS3:
    """Answers with the planned statuses, one per request of a method and key; then all is well. 0 hangs up."""

    url: str = ""
    planned: dict[str, list[int]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def s3() -> Iterator[StubS3]:
    stub = StubS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {self.path.partition('?')[0]}"
            stub.requests[request] += 1
            status = stub.planned[request].pop(0) if stub.planned.get(request) else 200
            if status == 0:
                self.close_connection = True
                return
            body = CONTENT if status < 300 else b"<Error><Code>Planned</Code></Error>"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = answer  # noqa: N815 -- the names that http.server calls

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield stub
        server.shutdown()
        thread.join()


@pytest.fixture
def read_file(s3: StubS3, tmp_path: Path) -> ReadFile:
    """Runs `hadoop fs -cat` on a file of the stub."""
    settings = "<property><name>fs.s3.impl</name><value>emrp.s3.S3FileSystem</value></property>"
    (tmp_path / "core-site.xml").write_text(f"<configuration>{settings}</configuration>")
    return lambda: subprocess.run(
        [
            str(find_java()),
            "-XX:TieredStopAtLevel=1",
            "-cp",
            os.pathsep.join([str(tmp_path), str(JAR), str(SPARK_HOME / "jars" / "*")]),
            "org.apache.hadoop.fs.FsShell",
            "-cat",
            "s3://bucket/file.txt",
        ],
        env={"AWS_ENDPOINT_URL": s3.url},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


@pytest.mark.parametrize("failures", [[500], [503, 503, 503], [0], [0, 500]], ids=str)
def test_request_is_repeated_when_s3_fails_or_hangs_up(s3: StubS3, read_file: ReadFile, failures: list[int]) -> None:
    s3.planned = {"GET /bucket/file.txt": list(failures)}
    found = read_file()
    assert (found.returncode, found.stdout) == (0, CONTENT.decode()), found.stderr
    assert s3.requests["GET /bucket/file.txt"] == len(failures) + 1


def test_request_is_not_repeated_when_s3_refuses_it(s3: StubS3, read_file: ReadFile) -> None:
    s3.planned = {"GET /bucket/file.txt": [403]}
    found = read_file()
    assert found.returncode == 1
    assert "GET s3://bucket/file.txt: HTTP 403" in found.stderr
    assert s3.requests["GET /bucket/file.txt"] == 1


def test_error_names_the_object_when_s3_never_recovers(s3: StubS3, read_file: ReadFile) -> None:
    s3.planned = {"GET /bucket/file.txt": [503] * 9}
    found = read_file()
    assert found.returncode == 1
    assert "GET s3://bucket/file.txt: HTTP 503" in found.stderr
    assert s3.requests["GET /bucket/file.txt"] == 4
