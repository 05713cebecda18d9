"""The mailbox of this machine: where SNS delivers what AWS would send by e-mail.

Written by `emrp.local.patches.sns`; read over `GET /_emrp/inbox`, by `emrp local inbox` and by tests.
"""

import html
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from uuid import uuid4

_LINK = re.compile(r"https?://[^\s<>&]+(?:&amp;[^\s<>&]+)*")


@dataclass(frozen=True)
class Email:
    """One message as it was delivered."""

    id: str
    to: str
    sender: str
    subject: str
    date: str
    body: str

    def as_json(self) -> dict[str, str]:
        """Return the message under the names of its mail headers."""
        fields = asdict(self)
        fields["from"] = fields.pop("sender")
        return fields


class Inbox:
    """Messages in order of arrival, kept in a file of JSON lines so that they survive a restart."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()
        self._emails = list(_read(file))

    def deliver(self, *, to: str, sender: str, subject: str, body: str) -> Email:
        """Add a message that has just arrived."""
        email = Email(str(uuid4()), to, sender, subject, datetime.now(UTC).isoformat(timespec="seconds"), body)
        with self._lock:
            self._emails.append(email)
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(email)) + "\n")
        return email

    def emails(self) -> list[Email]:
        """Return all messages, oldest first."""
        with self._lock:
            return list(self._emails)


def _read(file: Path) -> list[Email]:
    if not file.exists():
        return []
    return [Email(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def as_page(emails: list[Email]) -> str:
    """Render the inbox for a browser, newest message first, with the links in it clickable."""
    messages = "\n".join(_as_article(email) for email in reversed(emails)) or "<p>No messages yet.</p>"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Inbox of the local AWS</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
  article {{ border: 1px solid #ccc; border-radius: 6px; margin: 1rem 0; padding: 0 1rem }}
  h2 {{ font-size: 1.1rem; margin-bottom: 0 }}
  small {{ color: #595959 }}
  pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
</style>
<h1>Inbox</h1>
{messages}
</html>
"""


def _as_article(email: Email) -> str:
    body = _LINK.sub(lambda link: f'<a href="{link[0]}">{link[0]}</a>', html.escape(email.body))
    envelope = html.escape(f"{email.date} · from {email.sender} to {email.to}")
    return f"<article><h2>{html.escape(email.subject)}</h2><small>{envelope}</small><pre>{body}</pre></article>"
