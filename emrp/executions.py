"""The order of ListExecutions: "by time", which may be that of the end for executions that have ended.

Either way none that follows one in the list has started later than that one has ended.
"""

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef


def listed_at(execution: "ExecutionListItemTypeDef") -> datetime:
    """Return a time than which no execution that follows has started later."""
    return execution.get("stopDate") or execution["startDate"]


def newest_first(executions: Iterable["ExecutionListItemTypeDef"]) -> Iterator["ExecutionListItemTypeDef"]:
    """Yield listed executions in the order of their starts, the newest first."""
    waiting: list[tuple[float, str, ExecutionListItemTypeDef]] = []
    for execution in executions:
        latest = listed_at(execution).timestamp()
        while waiting and -waiting[0][0] >= latest:
            yield heapq.heappop(waiting)[-1]
        heapq.heappush(waiting, (-execution["startDate"].timestamp(), execution["executionArn"], execution))
    while waiting:
        yield heapq.heappop(waiting)[-1]
