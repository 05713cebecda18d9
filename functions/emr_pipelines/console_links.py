"""Addresses of AWS's consoles, right for each partition and region."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

_DOMAINS = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


@dataclass(frozen=True)
class Console:
    """The console of a region."""

    region: str
    domain: str

    @classmethod
    def of_arn(cls, arn: str) -> Self:
        """Return the console in which an ARN's resource is shown."""
        _, partition, _, region, *_ = arn.split(":")
        return cls(region, _DOMAINS.get(partition, "console.aws.amazon.com"))

    def execution(self, execution_arn: str) -> str:
        """Return the page of an execution of Step Functions."""
        return self._page("states", f"/v2/executions/details/{execution_arn}")

    def emr_serverless(self) -> str:
        """Return the page from which EMR Studio shows applications, their job runs and these' Spark UIs."""
        return self._page("emr", "/serverless")

    def cluster(self, cluster_id: str) -> str:
        """Return the page of a cluster of EMR on EC2."""
        return self._page("emr", f"/clusterDetails/{cluster_id}")

    def log_groups(self, prefix: str) -> str:
        """Return the page of the log groups whose names begin with a prefix."""
        filtered = f"?logGroupNameFilter={quote(prefix, safe='')}"
        return self._page("cloudwatch", f"logsV2:log-groups{_coded(filtered)}")

    def log_group(self, name: str) -> str:
        """Return the page of one log group."""
        return self._page("cloudwatch", f"logsV2:log-groups/log-group/{_coded(quote(name, safe=''))}")

    def _page(self, service: str, fragment: str) -> str:
        return f"https://{self.region}.{self.domain}/{service}/home?region={self.region}#{fragment}"


def _coded(text: str) -> str:
    """Write what stands behind a # as CloudWatch's console does: coded twice, with $ for %."""
    return quote(text, safe="").replace("%", "$")
