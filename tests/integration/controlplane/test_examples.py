"""The manifests that the documentation offers apply as they are."""

from pathlib import Path

import yaml
from google.protobuf.json_format import ParseDict

from tests.integration.controlplane.admin import Admin
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse, Manifest

LIMITS = Path(__file__).parents[3] / "examples" / "limits.yaml"


async def test_limits_apply_and_then_change_nothing(admin: Admin) -> None:
    documents = list(yaml.safe_load_all(LIMITS.read_text()))
    manifests = [ParseDict({**each, "api_version": each.pop("apiVersion")}, Manifest()) for each in documents]
    request = ApplyManifestsRequest(manifests=manifests)
    first = await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
    assert [result.action for result in first.results] == ["created"] * len(documents)
    second = await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
    assert [result.action for result in second.results] == ["unchanged"] * len(documents)
