"""The operations on instance groups and fleets, which here are numbers that change at once."""

from typing import Any

from ministack.services import emr

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.records import READY
from emrp.local.emr_on_ec2.registry import Registry
from emrp.local.emr_serverless.errors import ApiError

Parameters = dict[str, Any]


class InstanceOperations:
    """Every public method is an operation."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add_instance_groups(self, parameters: Parameters) -> Parameters:
        """Add groups to a cluster."""
        live = self._registry.modifiable(parameters["JobFlowId"])
        answer = protocol.content(emr._add_instance_groups(parameters))
        return answer | {"ClusterArn": live.cluster["ClusterArn"]}

    def add_instance_fleet(self, parameters: Parameters) -> Parameters:
        """Add a fleet to a cluster."""
        live = self._registry.modifiable(parameters["ClusterId"])
        return protocol.content(emr._add_instance_fleet(parameters)) | {"ClusterId": live.cluster["Id"]}

    def modify_instance_groups(self, parameters: Parameters) -> Parameters:
        """Resize groups; the cluster need not be named."""
        for change in parameters.get("InstanceGroups", []):
            live, group = self._registry.find_group(change["InstanceGroupId"])
            if live.state not in READY:
                message = "An instance group may only be modified when the job flow is running or waiting"
                raise ApiError("ValidationException", message)
            request = {"ClusterId": live.cluster["Id"], "InstanceGroups": [change]}
            protocol.content(emr._modify_instance_groups(request))
            if "Configurations" in change:
                group["Configurations"] = change["Configurations"]
        return {}

    def modify_instance_fleet(self, parameters: Parameters) -> Parameters:
        """Resize a fleet."""
        live = self._registry.find(parameters["ClusterId"])
        fleet_id = parameters["InstanceFleet"]["InstanceFleetId"]
        if live.state not in READY:
            message = "An instance fleet may only be modified when the cluster is running or waiting."
            raise ApiError("InvalidRequestException", message)
        if fleet_id not in {fleet["Id"] for fleet in live.cluster["InstanceFleets"]}:
            raise ApiError("InvalidRequestException", f"Instance fleet id '{fleet_id}' is not valid.")
        return protocol.content(emr._modify_instance_fleet(parameters))
