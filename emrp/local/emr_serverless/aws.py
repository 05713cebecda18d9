"""The other services of this process, as those of EMR use them: in process, in the caller's account and region."""

import json
import re
import time
from typing import Any

from ministack import app
from ministack.core.responses import get_account_id

from emrp.local import iam

_ERROR = 400
_MOST_EVENTS = 10_000  # of one PutLogEvents


async def put_object(bucket: str, key: str, content: bytes, role_arn: str) -> None:
    """Put an object into S3, as a role that must be allowed to if IAM is enforced."""
    headers = _headers(role_arn, "s3:PutObject", bucket, key)
    status, _, body = await app.SERVICE_HANDLERS["s3"]("PUT", f"/{bucket}/{key}", headers, content, {})
    if status >= _ERROR:
        raise OSError(body.decode(errors="replace"))


async def get_object(bucket: str, key: str, role_arn: str) -> bytes:
    """Read an object of S3, as a role that must be allowed to if IAM is enforced."""
    headers = _headers(role_arn, "s3:GetObject", bucket, key)
    status, _, body = await app.SERVICE_HANDLERS["s3"]("GET", f"/{bucket}/{key}", headers, b"", {})
    if status >= _ERROR:
        raise OSError(f"s3://{bucket}/{key} cannot be read: {_message(body)}")
    content: bytes = body
    return content


async def put_lines(group: str, stream: str, lines: list[str]) -> None:
    """Append lines to a stream of CloudWatch Logs; group and stream are created when they are missing."""
    names = {"logGroupName": group, "logStreamName": stream}
    await _logs("CreateLogGroup", {"logGroupName": group}, ignore="ResourceAlreadyExistsException")
    await _logs("CreateLogStream", names, ignore="ResourceAlreadyExistsException")
    timestamp = int(time.time() * 1000)
    for start in range(0, len(lines), _MOST_EVENTS):
        part = [{"timestamp": timestamp, "message": line} for line in lines[start : start + _MOST_EVENTS]]
        await _logs("PutLogEvents", names | {"logEvents": part})


def _headers(role_arn: str, action: str, bucket: str, key: str) -> dict[str, str]:
    """Return the headers of a request of a role that its policies allow; raises OSError when they do not."""
    if not iam.is_enforced():
        return {}
    try:
        iam.require_of_role(role_arn, [iam.Permission(action, f"arn:aws:s3:::{bucket}/{key}")])
    except iam.AccessDenied as error:
        raise OSError(str(error)) from error
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={get_account_id()}/"}  # else it would be anonymous


def _message(body: bytes) -> str:
    found = re.search(rb"<Message>(.*?)</Message>", body)
    return (found[1] if found else body).decode(errors="replace")


async def _logs(action: str, parameters: dict[str, Any], ignore: str = "") -> None:
    headers = {"x-amz-target": f"Logs_20140328.{action}"}
    request = json.dumps(parameters).encode()
    status, _, body = await app.SERVICE_HANDLERS["logs"]("POST", "/", headers, request, {})
    if status >= _ERROR and not (ignore and ignore.encode() in body):
        raise OSError(body.decode(errors="replace"))
