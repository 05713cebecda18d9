"""CloudFormation, which waits for the answer of a custom resource."""

import json
from typing import Any
from urllib.request import Request, urlopen

_TIMEOUT_SECONDS = 20
_MAX_REASON = 1000


class CloudFormation:
    """Answers requests about custom resources."""

    def answer(self, request: dict[str, Any], problem: str | None) -> None:
        """Tell CloudFormation that a request has been carried out, or why not."""
        body = {
            "Status": "FAILED" if problem else "SUCCESS",
            "Reason": (problem or "")[:_MAX_REASON],
            # The same for ever: another one would make CloudFormation delete the old resource.
            "PhysicalResourceId": request.get("PhysicalResourceId") or request["LogicalResourceId"],
            "StackId": request["StackId"],
            "RequestId": request["RequestId"],
            "LogicalResourceId": request["LogicalResourceId"],
        }
        answer = Request(  # noqa: S310 - the address comes from CloudFormation
            request["ResponseURL"], json.dumps(body).encode(), {"Content-Type": ""}, method="PUT"
        )
        with urlopen(answer, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - as above
            pass
