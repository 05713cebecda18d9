"""EMR Serverless on this machine: the service's API, states and events, with real Spark drivers as workers."""

from emrp.local.emr_serverless.registration import install, service, shutdown

__all__ = ["install", "service", "shutdown"]
