"""Which AWS this process talks to.

The environment decides, as for any AWS tool: boto3, the gateways of `emr_pipelines` and the SAM CLI then agree
without being told. So these run before the first client is made.
"""

import os
from collections.abc import Mapping

from emrp.errors import CommandError
from emrp.local import lifecycle


def use(settings: Mapping[str, str]) -> None:
    """Replace all AWS settings of this process by those of `settings`."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(settings)


def use_account(profile: str | None, region: str | None) -> None:
    """Use a profile and a region other than the default ones."""
    if profile:
        os.environ["AWS_PROFILE"] = profile
    region = region or os.environ.get("AWS_REGION")  # which other SDKs know, but boto3 does not
    if region:
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region


def use_local(port: int) -> None:
    """Use the local AWS of `port`, whether it runs already or not."""
    use(lifecycle.client_environment(lifecycle.endpoint_url(port)))


def check_local(port: int) -> None:
    """Raise CommandError unless the local AWS of `port` runs."""
    if lifecycle.find(port) is None:
        raise CommandError(f"No local AWS runs on port {port}: start it with `emrp local up --port {port}`.")
