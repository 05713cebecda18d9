from pathlib import Path

from emrp.local.inbox import Inbox, as_page


def test_inbox_has_its_messages_when_it_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "inbox.jsonl"
    delivered = Inbox(file).deliver(to="you@example.com", sender="AWS", subject="Hällo", body="one\ntwo")
    assert Inbox(file).emails() == [delivered]


def test_as_json_uses_mail_header_names_when_a_script_asks(tmp_path: Path) -> None:
    email = Inbox(tmp_path / "inbox.jsonl").deliver(to="to@x", sender="from@x", subject="S", body="B")
    assert email.as_json() == {
        "id": email.id,
        "to": "to@x",
        "from": "from@x",
        "subject": "S",
        "date": email.date,
        "body": "B",
    }


def test_as_page_escapes_messages_and_links_addresses_when_shown_in_a_browser(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.jsonl")
    inbox.deliver(to="a", sender="b", subject="<script>", body='<b> http://localhost:1/?a=1&b=2" x')
    page = as_page(inbox.emails())
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert '<a href="http://localhost:1/?a=1&amp;b=2">' in page


def test_as_page_shows_the_newest_message_first_when_there_are_several(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.jsonl")
    for subject in ("older", "newer"):
        inbox.deliver(to="a", sender="b", subject=subject, body="")
    page = as_page(inbox.emails())
    assert page.index("newer") < page.index("older")


def test_as_page_says_so_when_there_are_no_messages() -> None:
    assert "No messages yet" in as_page([])
