"""What a caller's policies must allow besides the operation itself, when the local AWS enforces IAM.

ministack checks the action of a request on its cluster; here are the roles that a cluster is given.
"""

from collections.abc import Iterator
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import iam as ministack_iam

from emrp.local.emr_serverless.errors import ApiError
from emrp.local.iam import AccessDenied, Permission, require

Parameters = dict[str, Any]

_SERVICE = "elasticmapreduce.amazonaws.com"
_INSTANCES = "ec2.amazonaws.com"


def authorize(operation: str, parameters: Parameters, access_key: str) -> None:
    """Refuse an operation unless the policies of a key's principal allow the roles that it passes on."""
    try:
        require(access_key, passed_roles(operation, parameters))
    except AccessDenied as error:
        raise ApiError("AccessDeniedException", str(error)) from error


def passed_roles(operation: str, parameters: Parameters) -> Iterator[Permission]:
    """Name the roles that an operation gives to a cluster and to its instances."""
    if operation != "RunJobFlow":
        return
    for member, service in (
        ("ServiceRole", _SERVICE),
        ("AutoScalingRole", "application-autoscaling.amazonaws.com"),
        ("JobFlowRole", _INSTANCES),
    ):
        if named := parameters.get(member):
            arn = instance_role(named, get_account_id()) if member == "JobFlowRole" else _role(named)
            yield Permission("iam:PassRole", arn, {"iam:PassedToService": service})


def instance_role(profile: str, account_id: str) -> str:
    """Return the ARN of the role of an instance profile, or of the role of the same name if there is no profile."""
    name = profile.rsplit("/", 1)[-1]
    found: dict[str, Any] = ministack_iam._instance_profiles.get(name) or {}
    (role,) = found.get("Roles") or [name]
    return f"arn:aws:iam::{account_id}:role/{role}"


def _role(named: str) -> str:
    return named if named.startswith("arn:") else f"arn:aws:iam::{get_account_id()}:role/{named}"
