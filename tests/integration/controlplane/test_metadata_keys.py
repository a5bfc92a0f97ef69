"""Metadata keys are declared like any resource, and the ledger keeps sums by them from the next quarter hour on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from google.protobuf.empty_pb2 import Empty

from controlplane.errors import AlreadyExists, InvalidArgument
from controlplane.ledger.convert import entry_of
from controlplane.ledger.repository import LedgerRepository
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.controlplane.admin import Admin, manifest
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse
from tollway.admin.v1.metadata_keys_pb2 import (
    CreateMetadataKeyRequest,
    DeleteMetadataKeyRequest,
    ListMetadataKeysRequest,
    ListMetadataKeysResponse,
    MetadataKey,
    UpdateMetadataKeyRequest,
)

QUARTER_HOUR = timedelta(minutes=15)


async def declare(admin: Admin, name: str, **fields: Any) -> MetadataKey:
    request = CreateMetadataKeyRequest(metadata_key_id=name, metadata_key=MetadataKey(**fields))
    return await admin.call("MetadataKeyService/CreateMetadataKey", request, MetadataKey)


async def delete(admin: Admin, name: str) -> None:
    await admin.call("MetadataKeyService/DeleteMetadataKey", DeleteMetadataKeyRequest(name=name), Empty)


async def periods(url: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [
            tuple(row) for row in await connection.fetch("SELECT key, since, until FROM ledger_metadata_key ORDER BY 1")
        ]
    finally:
        await connection.close()


async def test_a_key_is_declared_from_the_next_quarter_hour_on(admin: Admin, config_url: str) -> None:
    before = datetime.now(UTC)
    made = await declare(admin, "project")
    since = made.since.ToDatetime(UTC)
    assert (made.name, made.key) == ("metadataKeys/project", "project")
    assert before < since <= datetime.now(UTC) + QUARTER_HOUR and since.timestamp() % 900 == 0
    assert await periods(config_url) == [("project", since, None)]
    listed = await admin.call(
        "MetadataKeyService/ListMetadataKeys", ListMetadataKeysRequest(), ListMetadataKeysResponse
    )
    assert list(listed.metadata_keys) == [made]


async def test_a_quarter_hour_that_has_entries_is_not_divided(admin: Admin, config_url: str) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=40)
    event = FakeDataPlane(boot_id=1).event(start_time_us=round(ahead.timestamp() * 1_000_000))
    await LedgerRepository(admin.rooms.config.database).book([entry_of(event)], [])
    since = (await declare(admin, "project")).since.ToDatetime(UTC)
    assert ahead < since <= ahead + QUARTER_HOUR


async def test_a_key_keeps_its_spelling_and_cannot_be_changed(admin: Admin) -> None:
    made = await declare(admin, "cost-center", key="CostCenter", display_name="Cost center")
    assert made.key == "CostCenter"
    made.display_name = "Other"
    request = UpdateMetadataKeyRequest(metadata_key=made)
    changed = await admin.call("MetadataKeyService/UpdateMetadataKey", request, MetadataKey)
    assert (changed.display_name, changed.since) == ("Other", made.since)
    made.key = "other"
    made.etag = ""
    with pytest.raises(InvalidArgument, match="cannot be changed"):
        await admin.call(
            "MetadataKeyService/UpdateMetadataKey", UpdateMetadataKeyRequest(metadata_key=made), MetadataKey
        )


async def test_a_key_is_declared_once(admin: Admin) -> None:
    await declare(admin, "a", key="project")
    with pytest.raises(InvalidArgument, match='metadata key "project" is declared by metadataKeys/a already'):
        await declare(admin, "b", key="project")
    with pytest.raises(AlreadyExists):
        await declare(admin, "a", key="other")


async def test_a_deleted_key_ends_and_may_be_declared_again(admin: Admin, config_url: str) -> None:
    since = (await declare(admin, "project")).since.ToDatetime(UTC)
    await delete(admin, "metadataKeys/project")
    [(_, first, until)] = await periods(config_url)
    assert first == since <= until
    await declare(admin, "project")
    assert [until for _, _, until in await periods(config_url)].count(None) == 1


async def test_no_more_than_eight_even_in_one_apply(admin: Admin, config_url: str) -> None:
    manifests = [manifest("MetadataKey", f"k{number}") for number in range(9)]
    with pytest.raises(InvalidArgument, match="8 metadata keys are declared already"):
        await apply(admin, manifests)
    assert await periods(config_url) == []
    answer = await apply(admin, manifests[:8])
    assert [result.action for result in answer.results] == ["created"] * 8
    assert [result.action for result in (await apply(admin, manifests[:8])).results] == ["unchanged"] * 8
    with pytest.raises(InvalidArgument, match="delete one"):
        await declare(admin, "k9")
    await delete(admin, "metadataKeys/k0")
    await declare(admin, "k9")


async def test_a_dry_run_declares_nothing(admin: Admin, config_url: str) -> None:
    request = CreateMetadataKeyRequest(metadata_key_id="project", metadata_key=MetadataKey(), validate_only=True)
    assert (await admin.call("MetadataKeyService/CreateMetadataKey", request, MetadataKey)).HasField("since")
    assert await periods(config_url) == []


async def apply(admin: Admin, manifests: list[Any]) -> ApplyManifestsResponse:
    request = ApplyManifestsRequest(manifests=manifests)
    return await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
