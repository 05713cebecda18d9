"""What ministack does differently from AWS, put right from outside, one module per service."""

from emrp.local.inbox import Inbox
from emrp.local.patches import sns


def install(inbox: Inbox) -> None:
    """Apply every patch, or fail with the first anchor that this ministack does not have."""
    sns.install(inbox)
