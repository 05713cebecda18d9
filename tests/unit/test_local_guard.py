import pytest

from emrp.local import guard


def _headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4566", "localhost", "LOCALHOST:80", "[::1]:4566", "bucket.localhost:4566", "a.b.localhost"]
)
def test_refusal_is_none_when_the_host_is_this_machine(host: str) -> None:
    assert guard.refusal(_headers(host=host)) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "10.0.0.1", "["]
)
def test_refusal_names_the_host_when_it_is_foreign(host: str) -> None:
    refused = guard.refusal(_headers(host=host))
    assert refused is not None
    assert f"Host {host!r}" in refused


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:4566", "https://app.localhost"])
def test_refusal_is_none_when_the_origin_is_this_machine(origin: str) -> None:
    assert guard.refusal(_headers(host="localhost", origin=origin, sec_fetch_site="cross-site")) is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", ""])
def test_refusal_names_the_origin_when_it_is_foreign(origin: str) -> None:
    refused = guard.refusal(_headers(host="localhost:4566", origin=origin))
    assert refused is not None
    assert f"Origin {origin!r}" in refused


def test_refusal_is_given_when_a_foreign_page_loads_an_image_or_follows_a_link() -> None:
    assert guard.refusal(_headers(host="localhost:4566", sec_fetch_site="cross-site")) is not None


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site"])
def test_refusal_is_none_when_the_browser_was_asked_by_its_user_or_our_own_page(site: str) -> None:
    assert guard.refusal(_headers(host="localhost:4566", sec_fetch_site=site)) is None
