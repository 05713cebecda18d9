"""Real Spark on this machine: what a worker of EMR Serverless or a cluster step runs here.

`start_driver` turns the job driver of a job run into one Spark driver process in local mode, which reads and
writes `s3://` unchanged. Whoever calls it decides when it runs, where its logs go and what its end means.
"""

from emrp.local.spark.driver import Driver, DriverRequest, start_driver
from emrp.local.spark.failure import failure_details, failure_reason
from emrp.local.spark.job_driver import InvalidJobDriver
from emrp.local.spark.warm import WarmDrivers

__all__ = [
    "Driver",
    "DriverRequest",
    "InvalidJobDriver",
    "WarmDrivers",
    "failure_details",
    "failure_reason",
    "start_driver",
]
