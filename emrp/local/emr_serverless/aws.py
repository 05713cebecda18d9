"""The other services of this process, as EMR Serverless uses them: in process, in the caller's account and region."""

import json
import time
from typing import Any

from ministack import app
from ministack.core.responses import get_account_id

from emrp.local import iam

_ERROR = 400
_MOST_EVENTS = 10_000  # of one PutLogEvents


async def put_object(bucket: str, key: str, content: bytes, role_arn: str) -> None:
    """Put an object into S3, as a role that must be allowed to if IAM is enforced."""
    headers = {}
    if iam.is_enforced():
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={get_account_id()}/"  # else it would be anonymous
        try:
            iam.require_of_role(role_arn, [iam.Permission("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}")])
        except iam.AccessDenied as error:
            raise OSError(str(error)) from error
    status, _, body = await app.SERVICE_HANDLERS["s3"]("PUT", f"/{bucket}/{key}", headers, content, {})
    if status >= _ERROR:
        raise OSError(body.decode(errors="replace"))


async def put_lines(group: str, stream: str, lines: list[str]) -> None:
    """Append lines to a stream of CloudWatch Logs; group and stream are created when they are missing."""
    names = {"logGroupName": group, "logStreamName": stream}
    await _logs("CreateLogGroup", {"logGroupName": group}, ignore="ResourceAlreadyExistsException")
    await _logs("CreateLogStream", names, ignore="ResourceAlreadyExistsException")
    timestamp = int(time.time() * 1000)
    for start in range(0, len(lines), _MOST_EVENTS):
        part = [{"timestamp": timestamp, "message": line} for line in lines[start : start + _MOST_EVENTS]]
        await _logs("PutLogEvents", names | {"logEvents": part})


async def _logs(action: str, parameters: dict[str, Any], ignore: str = "") -> None:
    headers = {"x-amz-target": f"Logs_20140328.{action}"}
    request = json.dumps(parameters).encode()
    status, _, body = await app.SERVICE_HANDLERS["logs"]("POST", "/", headers, request, {})
    if status >= _ERROR and not (ignore and ignore.encode() in body):
        raise OSError(body.decode(errors="replace"))
