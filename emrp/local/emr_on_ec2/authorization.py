"""What a caller's policies must allow for an operation of EMR on EC2, when the local AWS enforces IAM.

ministack knows neither the clusters of a request that names several nor their tags, so it leaves EMR to this module.
"""

from collections.abc import Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import emr
from ministack.services import iam as ministack_iam

from emrp.local.emr_serverless.errors import ApiError
from emrp.local.iam import AccessDenied, Permission, require

Parameters = dict[str, Any]
Context = dict[str, object]

_OF_A_CLUSTER = ("ClusterId", "JobFlowId", "ResourceId")
_PASSED_TO = {
    "ServiceRole": "elasticmapreduce.amazonaws.com",
    "AutoScalingRole": "application-autoscaling.amazonaws.com",
    "JobFlowRole": "ec2.amazonaws.com",
}


def authorize(operation: str, parameters: Parameters, access_key: str) -> None:
    """Refuse an operation unless the policies of a key's principal allow everything that it asks for."""
    try:
        require(access_key, permissions(operation, parameters))
    except AccessDenied as error:
        raise ApiError("AccessDeniedException", str(error)) from error


def permissions(operation: str, parameters: Parameters) -> Iterator[Permission]:
    """Name every permission that an operation asks for."""
    requested = _tag_context("RequestTag", parameters.get("Tags", []))
    if keys := [tag["Key"] for tag in parameters.get("Tags", [])] + parameters.get("TagKeys", []):
        requested["aws:TagKeys"] = keys
    action = f"elasticmapreduce:{operation}"
    for cluster_id in _clusters_of(parameters):
        cluster = emr._clusters.get(cluster_id) or {}
        owned = _tag_context("ResourceTag", cluster.get("Tags", []))
        yield Permission(action, _cluster_arn(cluster_id), {**requested, **owned})
    if not _clusters_of(parameters):
        yield Permission(action, "*", requested)
    if operation == "RunJobFlow":
        if requested:
            yield Permission("elasticmapreduce:AddTags", _cluster_arn("*"), requested)
        yield from _passed_roles(parameters)


def instance_role(profile: str, account_id: str) -> str:
    """Return the ARN of the role of an instance profile, or of the role of the same name if there is no profile."""
    name = profile.rsplit("/", 1)[-1]
    found: dict[str, Any] = ministack_iam._instance_profiles.get(name) or {}
    (role,) = found.get("Roles") or [name]
    return f"arn:aws:iam::{account_id}:role/{role}"


def _clusters_of(parameters: Parameters) -> list[str]:
    """Return the ids of the clusters that a request is about."""
    if named := next((parameters[name] for name in _OF_A_CLUSTER if name in parameters), None):
        return [named]
    groups = {group["InstanceGroupId"] for group in parameters.get("InstanceGroups", []) if "InstanceGroupId" in group}
    owners = [
        cluster["Id"]
        for cluster in emr._clusters.values()
        if groups and groups & {group["Id"] for group in cluster["InstanceGroups"]}
    ]
    return [*parameters.get("JobFlowIds", []), *owners]


def _passed_roles(parameters: Parameters) -> Iterator[Permission]:
    """Name the roles that a new cluster and its instances are given."""
    for member, service in _PASSED_TO.items():
        if named := parameters.get(member):
            arn = instance_role(named, get_account_id()) if member == "JobFlowRole" else _role(named)
            yield Permission("iam:PassRole", arn, {"iam:PassedToService": service})


def _tag_context(kind: str, tags: list[dict[str, str]]) -> Context:
    """Return what policies may look at: EMR has condition keys of its own next to those of AWS."""
    return {f"{prefix}:{kind}/{tag['Key']}": tag["Value"] for tag in tags for prefix in ("aws", "elasticmapreduce")}


def _cluster_arn(cluster_id: str) -> str:
    return f"arn:aws:elasticmapreduce:{get_region()}:{get_account_id()}:cluster/{cluster_id}"


def _role(named: str) -> str:
    return named if named.startswith("arn:") else f"arn:aws:iam::{get_account_id()}:role/{named}"
