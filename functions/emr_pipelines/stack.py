"""What the stack gives to every run."""

from dataclasses import dataclass

STACK_TAG, RUN_TAG = "emr-pipelines:stack", "emr-pipelines:run"


@dataclass(frozen=True)
class Stack:
    """The deployed stack, as the functions see it in their environment."""

    name: str
    bucket: str
    job_role_arn: str
    cluster_service_role: str = "EMR_DefaultRole"
    cluster_instance_profile: str = "EMR_EC2_DefaultRole"

    def tags(self, **more: str) -> dict[str, str]:
        """Return the tags by which everything that a run creates can be found again."""
        return {f"emr-pipelines:{key}": value for key, value in {"stack": self.name, **more}.items()}
