"""How the services of this package publish their own events on the default event bus.

PutEvents refuses sources that start with `aws.` (as AWS does), so a service's events enter EventBridge here,
from inside the process.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import eventbridge

from emrp.local import ACCOUNT_ID, REGION


def publish_aws_event(
    source: str,
    detail_type: str,
    detail: Mapping[str, Any],
    resources: Sequence[str] = (),
    *,
    account_id: str = ACCOUNT_ID,
    region: str = REGION,
) -> None:
    """Put an event of an AWS service on the default bus of an account and region, from any thread."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": list(resources),
    }
    with request_scope(account_id, region):
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
