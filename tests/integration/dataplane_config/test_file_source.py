import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataplane.authn import authenticate
from dataplane.config.applier import ConfigApplier
from dataplane.config.documents import ConfigFileError
from dataplane.config.file_source import FileSource
from dataplane.config.holder import SnapshotHolder
from dataplane.errors import InvalidApiKey
from tollway.kernel.keys import make_virtual_key

MANIFESTS = """
apiVersion: tollway/v1
kind: Route
metadata: {name: fast}
spec:
  model: fast
  targets: [{upstream: sim, model: echo}]
---
apiVersion: tollway/v1
kind: Upstream
metadata: {name: sim}
spec: {provider: sim, base_url: "http://127.0.0.1:9/v1", models: [echo]}
---
apiVersion: tollway/v1
kind: Team
metadata: {name: growth}
---
apiVersion: tollway/v1
kind: VirtualKey
metadata: {name: ci, team: growth}
spec:
  secret: {ref: "env:CI_KEY"}
  allowed_models: [fast, "sim/*"]
"""


RATE_LIMIT = """---
apiVersion: tollway/v1
kind: RateLimit
metadata: {name: rpm}
spec:
  match: {keys: [ci]}
  limits: [{unit: requests, amount: 60, window: 60s}]
"""
BUDGET = """---
apiVersion: tollway/v1
kind: Budget
metadata: {name: growth}
spec: {amount_usd: "5.00"}
"""


@dataclass(frozen=True, slots=True)
class Rig:
    """A file source on `path`, not loaded yet; `key` is what CI_KEY holds."""

    path: Path
    source: FileSource
    holder: SnapshotHolder
    key: str

    def whose(self, key: str) -> str:
        assert self.holder.current is not None
        return authenticate(self.holder.current, key, time.time_ns() // 1_000_000).key.name

    def models(self) -> set[str]:
        assert self.holder.current is not None
        return set(self.holder.current.routes)


def make_rig(path: Path) -> Rig:
    key = make_virtual_key(secrets.randbelow)
    holder = SnapshotHolder(time.monotonic)
    environ = {"CI_KEY": key, "NOT_A_KEY": "hunter2"}
    source = FileSource(path, ConfigApplier(holder, environ), holder, environ, secrets.token_bytes(32))
    return Rig(path, source, holder, key)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    path = tmp_path / "tollway.yaml"
    path.write_text(MANIFESTS)
    return make_rig(path)


def replace_file(path: Path, text: str) -> None:
    """As editors and ConfigMaps do, by a new file under the old name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


async def test_manifests_serve_without_a_control_plane(rig: Rig) -> None:
    await rig.source.load()
    snapshot = rig.holder.current
    assert snapshot is not None
    assert rig.whose(rig.key) == "teams/growth/keys/ci"
    entry = next(iter(snapshot.keys.values()))
    assert (entry.key.team, entry.key.owner) == ("teams/growth", "teams/growth")
    assert set(snapshot.models(entry.key)) == {"fast", "sim/echo"}
    assert snapshot.routes["fast"].targets[0].upstream.base_url == "http://127.0.0.1:9/v1"
    price = snapshot.prices.find("sim", "echo", time.time_ns() // 1_000_000)
    assert price is not None
    with pytest.raises(InvalidApiKey):
        rig.whose(make_virtual_key(secrets.randbelow))


async def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for number, document in enumerate(MANIFESTS.split("---")):
        (tmp_path / f"{number}.yaml").write_text(document)
    (tmp_path / "notes.txt").write_text("not: [yaml")
    (tmp_path / ".hidden.yaml").write_text("not: [yaml")
    rig = make_rig(tmp_path)
    await rig.source.load()
    assert rig.models() == {"fast"}
    (tmp_path / "more.yml").write_text(MANIFESTS.split("---")[0].replace("fast", "faster"))
    await rig.source.refresh()
    assert rig.models() == {"fast", "faster"}
    (tmp_path / "0.yaml").unlink()
    await rig.source.refresh()
    assert rig.models() == {"faster"}


async def test_a_change_is_taken_and_a_bad_one_is_not(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.source.load()
    first = rig.holder.current
    await rig.source.refresh()
    assert rig.holder.current is first, "nothing changed"
    replace_file(rig.path, MANIFESTS.replace("model: fast", "model: quick"))
    await rig.source.refresh()
    assert rig.models() == {"quick"}
    replace_file(rig.path, MANIFESTS.replace("upstream: sim", "upstream: gone"))
    await rig.source.refresh()
    await rig.source.refresh()
    assert rig.models() == {"quick"}
    told = [record.getMessage() for record in caplog.records if "is bad" in record.getMessage()]
    assert len(told) == 1
    assert f"{rig.path} document 1" in told[0]
    assert "upstreams/gone" in told[0]
    rig.path.unlink()
    await rig.source.refresh()
    assert rig.models() == {"quick"}
    replace_file(rig.path, MANIFESTS)
    await rig.source.refresh()
    assert rig.models() == {"fast"}
    assert rig.whose(rig.key) == "teams/growth/keys/ci"


async def test_a_keys_file_is_watched_too(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "ci.key"
    secret.write_text(rig.key + "\n")
    rig.path.write_text(MANIFESTS.replace("env:CI_KEY", f"file:{secret}"))
    await rig.source.load()
    loaded = rig.holder.current
    await rig.source.refresh()
    assert rig.holder.current is loaded, "nothing changed"
    rotated = make_virtual_key(secrets.randbelow)
    replace_file(secret, rotated)
    await rig.source.refresh()
    assert rig.whose(rotated) == "teams/growth/keys/ci"
    with pytest.raises(InvalidApiKey):
        rig.whose(rig.key)
    secret.unlink()
    await rig.source.refresh()
    assert rig.whose(rotated) == "teams/growth/keys/ci"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing to apply"),
        ("a: [", "is not YAML"),
        ("- 1\n---\n" + MANIFESTS, "document 1: must be an object"),
        (MANIFESTS.replace("kind: Team", "kind: Quota"), "Team, VirtualKey, Upstream, Route, Price, MetadataKey"),
        (MANIFESTS + RATE_LIMIT, 'RateLimit "rpm" needs a control plane, which keeps its count; remove it'),
        (MANIFESTS + BUDGET, 'Budget "growth" needs a control plane'),
        (MANIFESTS.replace("models: [echo]", "modles: [echo]"), "modles"),
        (MANIFESTS.replace("upstream: sim", "upstream: gone"), 'document 1: spec.targets[0].upstream: Route "fast"'),
        (MANIFESTS.replace("team: growth", "team: nobody"), "teams/nobody"),
        (MANIFESTS.replace("env:CI_KEY", "env:ABSENT"), "teams/growth/keys/ci: environment variable ABSENT is not set"),
        (MANIFESTS.replace("env:CI_KEY", "env:NOT_A_KEY"), "env:NOT_A_KEY holds no virtual key"),
        (MANIFESTS.replace('secret: {ref: "env:CI_KEY"}', "metadata: {}"), "needs secret.ref"),
        (MANIFESTS + "---\n" + MANIFESTS.split("---")[3].replace("name: ci", "name: twin"), "another key has"),
        (MANIFESTS.replace("models: [echo]", "secret: {ref: 'env:NO_SUCH'}"), "environment variable NO_SUCH"),
        (MANIFESTS.replace("models: [echo]", "secret: {value: hunter3}"), "manifests hold no secrets"),
        (MANIFESTS + "---\n" + MANIFESTS.split("---")[2], "is given already at"),
        (MANIFESTS.replace("kind: Team", 'kind: "a\\nb"'), '"a b" is not a kind'),
    ],
)
async def test_a_bad_start_says_in_one_line_what_is_wrong_where(rig: Rig, text: str, says: str) -> None:
    rig.path.write_text(text)
    with pytest.raises(ConfigFileError) as caught:
        await rig.source.load()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert "hunter" not in message
    assert rig.key not in message
    assert rig.holder.current is None


async def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="holds no"):
        await make_rig(tmp_path).source.load()
    with pytest.raises(ConfigFileError, match=r"absent\.yaml cannot be read"):
        await make_rig(tmp_path / "absent.yaml").source.load()
