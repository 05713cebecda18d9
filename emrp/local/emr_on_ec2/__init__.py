"""EMR on EC2 on this machine: ministack's clusters and steps, brought to life.

ministack keeps the records and answers from them. Here clusters go through their states, steps really run (as Spark
drivers of this machine), logs are where EMR puts them, and every change is an event:

    api -> service -> lifecycle (one `LiveCluster` each) -> execution (one task for each step) -> emrp.local.spark
"""

from emrp.local.emr_on_ec2.registration import install, service, shutdown

__all__ = ["install", "service", "shutdown"]
