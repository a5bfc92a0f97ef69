"""Stored rows into machine resources."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controlplane.discovery.projection import Credential, NotProjectable, project_row
from controlplane.keys.rows import StoredDigest
from controlplane.resources.rows import StoredResource

NOW = datetime(2030, 1, 1, tzinfo=UTC)
UPSTREAM = StoredResource(
    name="upstreams/a",
    revision=7,
    kind="Upstream",
    uid=uuid.UUID(int=1),
    etag="e",
    spec={"provider": "sim", "base_url": "http://x", "secret": {"fingerprint": "f"}, "from_a_later_release": 1},
    labels={},
    refs=(),
    claim=None,
    create_time=NOW,
    update_time=NOW,
)
KEY = replace(
    UPSTREAM, name="teams/t/keys/k", kind="VirtualKey", spec={"owner": "teams/t", "state": "KEY_STATE_REVOKED"}
)


def test_a_readable_secret_goes_along() -> None:
    projected = project_row(UPSTREAM, (), Credential("sk-1"))
    own, secret = projected.upserts
    assert (own.name, own.revision, own.upstream.base_url) == ("upstreams/a", 7, "http://x")
    assert (secret.name, secret.revision, secret.upstream_secret.value) == ("upstreams/a/secret", 7, "sk-1")
    assert projected.removals == ()


def test_an_unreadable_secret_stays_as_it_was() -> None:
    projected = project_row(UPSTREAM, (), Credential(problem="damaged"))
    assert [resource.name for resource in projected.upserts] == ["upstreams/a"]
    assert projected.removals == ()


def test_a_secret_that_is_gone_is_removed() -> None:
    assert project_row(UPSTREAM, (), None).removals == ["upstreams/a/secret"]


def test_a_deleted_resource_takes_everything_with_it() -> None:
    projected = project_row(replace(UPSTREAM, deleted=True, spec={}), (), None)
    assert (projected.revision, projected.upserts) == (7, ())
    assert projected.removals == ["upstreams/a", "upstreams/a/secret"]


def test_a_revoked_key_keeps_its_digests_so_that_callers_can_be_told() -> None:
    digests = [StoredDigest(b"1" * 32, KEY.name, NOW), StoredDigest(b"2" * 32, KEY.name, NOW, expire_time=NOW)]
    [key] = project_row(KEY, digests, None).upserts
    assert key.virtual_key.revoked
    assert [(d.digest[:1], d.expire_time_ms) for d in key.virtual_key.digests] == [
        (b"1", 0),
        (b"2", int(NOW.timestamp()) * 1000),
    ]


@pytest.mark.parametrize("row", [replace(UPSTREAM, kind="Quota"), replace(UPSTREAM, spec={"provider": 5})])
def test_what_cannot_be_projected_is_told(row: StoredResource) -> None:
    with pytest.raises(NotProjectable):
        project_row(row, (), None)
