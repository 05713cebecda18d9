"""EMR Serverless on this machine: the service's API, states and events, with real Spark drivers as workers."""

from emrp.local.emr_serverless.registration import install, shutdown

__all__ = ["install", "shutdown"]
