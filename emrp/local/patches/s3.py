"""S3: the "Object Created" event of a versioned bucket names the version, as EventBridge gets it from AWS."""

from ministack.services import s3

from emrp.local.patches.anchors import edit

_REASON = """\
                if reason is not None:
                    detail["reason"] = reason
"""
_VERSION = """\
                if version_id:
                    detail["object"]["version-id"] = version_id
"""


def install() -> None:
    """Add `version-id` to the events that go to EventBridge."""
    edit(s3, "_fire_s3_event", (_REASON, _REASON + _VERSION))
