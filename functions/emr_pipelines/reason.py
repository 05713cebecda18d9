"""Why something failed, on one line, for the places that have no room for more: subjects of mails, lists."""

import re

_EMR_PREAMBLE = re.compile(
    r"Job failed, please check complete logs in configured logging destination\. "
    r"(ExitCode: \d+\. Last few exceptions: )?"
)


def on_one_line(reason: str) -> str:
    """Return a reason without line breaks and without what EMR says before every reason."""
    return _EMR_PREAMBLE.sub("", " ".join(reason.split()))
