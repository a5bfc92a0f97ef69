import time
from pathlib import Path

import pytest

from dataplane.config.applier import ConfigApplier
from dataplane.config.holder import SnapshotHolder
from tests.unit.dataplane.config.machine import delta, route, upstream


def secret_of(holder: SnapshotHolder, upstream_id: str) -> str:
    assert holder.current is not None
    return holder.current.upstreams[upstream_id].secret.reveal()


async def test_secrets_are_read_where_the_data_plane_runs(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\n")
    holder = SnapshotHolder(time.monotonic)
    applier = ConfigApplier(holder, {"KEY": "from-env"})
    await applier.apply(
        delta(upstream("e", secret_ref="env:KEY"), upstream("f", secret_ref=f"file:{file}"), reset=True)
    )
    assert (secret_of(holder, "e"), secret_of(holder, "f")) == ("from-env", "from-file")


async def test_a_secret_that_is_not_there_rejects_its_upstream_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "later"
    holder = SnapshotHolder(time.monotonic)
    applier = ConfigApplier(holder, {})
    change = delta(
        upstream("e", secret_ref="env:ABSENT"),
        upstream("f", secret_ref=f"file:{file}"),
        upstream("g"),
        route("r", "f"),
        reset=True,
    )
    await applier.apply(change)
    reasons = {rejection.name: rejection.reason for rejection in holder.state.rejections}
    assert "ABSENT" in reasons["upstreams/e"]
    assert str(file) in reasons["upstreams/f"]
    assert holder.current is not None
    assert (set(holder.current.upstreams), set(holder.current.routes)) == ({"g"}, set())
    file.write_text("here")
    await applier.refresh_secrets()
    assert secret_of(holder, "f") == "here"
    assert set(holder.current.routes) == {"r"}
    assert [rejection.name for rejection in holder.state.rejections] == ["upstreams/e"]
    assert "here" not in caplog.text


async def test_a_changed_secret_is_taken_and_a_lost_one_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    holder = SnapshotHolder(time.monotonic)
    applier = ConfigApplier(holder, {})
    await applier.apply(delta(upstream("f", secret_ref=f"file:{file}"), reset=True, revision=4))
    pinned = holder.current
    await applier.refresh_secrets()
    assert holder.current is pinned, "nothing changed"
    file.write_text("two")
    await applier.refresh_secrets()
    assert secret_of(holder, "f") == "two"
    assert holder.current is not None
    assert holder.current.revision == 4
    file.unlink()
    await applier.refresh_secrets()
    assert secret_of(holder, "f") == "two"
    assert any("cannot be read any more" in record.getMessage() for record in caplog.records)
    await applier.apply(delta(upstream("f", secret_ref=f"file:{file}", region="eu"), revision=5))
    assert secret_of(holder, "f") == "two"
