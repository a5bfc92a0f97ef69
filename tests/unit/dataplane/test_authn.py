import secrets

import pytest
from multidict import CIMultiDict

from dataplane.authn import authenticate, presented_key
from dataplane.errors import InvalidApiKey
from dataplane.snapshot import KeyEntry, Snapshot, VirtualKey
from tollway.kernel.keys import key_digest, make_virtual_key

PEPPER = b"p" * 32
SECRET = make_virtual_key(secrets.randbelow)
NOW_MS = 1_800_000_000_000


def make_snapshot(*, expire_time_ms: int = 0, digest_expire_time_ms: int = 0, revoked: bool = False) -> Snapshot:
    key = VirtualKey("teams/growth/keys/ci", "teams/growth", "teams/growth", None, {}, expire_time_ms, revoked)
    return Snapshot(pepper=PEPPER, keys={key_digest(PEPPER, SECRET): KeyEntry(key, digest_expire_time_ms)})


def refusal(snapshot: Snapshot, presented: str) -> str:
    with pytest.raises(InvalidApiKey) as caught:
        authenticate(snapshot, presented, NOW_MS)
    assert caught.value.http_status == 401
    assert caught.value.error_code == "invalid_api_key"
    if presented:
        assert presented not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer a"}, "a"),
        ({"AUTHORIZATION": "bearer  a "}, "a"),
        ({"x-api-key": "b"}, "b"),
        ({"api-key": "c"}, "c"),
        ({"X-Goog-Api-Key": "d"}, "d"),
        ({"x-goog-api-key": "d", "api-key": "c", "x-api-key": "b", "authorization": "Bearer a"}, "a"),
        ({"x-goog-api-key": "d", "api-key": "c", "x-api-key": "b"}, "b"),
        ({"authorization": "Basic dTpw", "x-api-key": "b"}, "b"),
        ({"authorization": "Bearer ", "x-api-key": " ", "api-key": "c"}, "c"),
        ({"authorization": "Basic dTpw"}, ""),
        ({}, ""),
    ],
)
def test_the_first_header_with_a_key_counts(headers: dict[str, str], expected: str) -> None:
    assert presented_key(CIMultiDict(headers)) == expected


def test_of_repeated_headers_the_first_counts() -> None:
    headers = CIMultiDict([("Authorization", "Bearer a"), ("Authorization", "Bearer b")])
    assert presented_key(headers) == "a"


def test_a_known_key_is_whose_it_is() -> None:
    principal = authenticate(make_snapshot(expire_time_ms=NOW_MS + 1, digest_expire_time_ms=NOW_MS + 1), SECRET, NOW_MS)
    assert (principal.key.name, principal.team) == ("teams/growth/keys/ci", "teams/growth")


@pytest.mark.parametrize(
    ("presented", "says"),
    [
        ("", "No API key was given"),
        ("sk-proj-1234567890", "provider's own API key"),
        ("AIzaSyA-1234567890", "provider's own API key"),
        ("twa_1234567890", "admin token"),
        ("hello", "not a Tollway key"),
        ("\udcff\udcfe", "not a Tollway key"),
        ("twk_\udcff", "mistyped"),
        (SECRET[:-1], "mistyped"),
        (SECRET[:-1] + ("0" if SECRET[-1] != "0" else "1"), "mistyped"),
        (make_virtual_key(secrets.randbelow), "not known here"),
    ],
    ids=["none", "openai", "google", "admin", "other", "bytes", "bytes-in-key", "short", "mistyped", "unknown"],
)
def test_a_key_that_leads_nowhere_is_refused_with_what_is_wrong(presented: str, says: str) -> None:
    assert says in refusal(make_snapshot(), presented)


def test_a_key_under_another_pepper_is_unknown() -> None:
    entries = make_snapshot().keys
    assert "not known here" in refusal(Snapshot(pepper=b"q" * 32, keys=entries), SECRET)


def test_a_revoked_key_is_refused_as_such() -> None:
    assert refusal(make_snapshot(revoked=True), SECRET).startswith("The key teams/growth/keys/ci was revoked")


def test_an_expired_key_is_refused_with_the_time() -> None:
    assert "expired at 2027-01-15T08:00:00Z" in refusal(make_snapshot(expire_time_ms=NOW_MS), SECRET)


def test_a_rotated_secret_is_refused_after_its_overlap() -> None:
    message = refusal(make_snapshot(digest_expire_time_ms=NOW_MS), SECRET)
    assert "was replaced" in message
    assert "rotation" in message
