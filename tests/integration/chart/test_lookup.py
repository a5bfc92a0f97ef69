"""What the chart reads from a cluster: the versions of the Secrets that its pods use, and nothing inside them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import helm_python
import pytest_asyncio
import yaml
from aiohttp import web

from tests.integration.chart.cases import MINIMAL
from tests.integration.chart.release import CHART
from tollctl.local.ports import find_free_port


@dataclass(slots=True)
class SecretServer:
    """The part of the Kubernetes API that serves Secrets, each known by name and resource version."""

    port: int
    versions: dict[str, str]
    asked: list[str] = field(default_factory=list)

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/api", self._api)
        application.router.add_get("/apis", self._groups)
        application.router.add_get("/api/v1", self._resources)
        application.router.add_get("/api/v1/namespaces/gateway/secrets/{name}", self._secret)
        return application

    async def _api(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "APIVersions", "versions": ["v1"]})

    async def _groups(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})

    async def _resources(self, _: web.Request) -> web.Response:
        secrets = {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get"]}
        return web.json_response({"kind": "APIResourceList", "groupVersion": "v1", "resources": [secrets]})

    async def _secret(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(name)
        if name not in self.versions:
            return web.json_response(
                {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}, status=404
            )
        metadata = {"name": name, "namespace": "gateway", "resourceVersion": self.versions[name]}
        return web.json_response({"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": {}})


@pytest_asyncio.fixture
async def server() -> AsyncIterator[SecretServer]:
    versions = {"tollway-secrets": "1", "tollway-postgres": "2", "tollway-nats": "3"}
    secrets = SecretServer(find_free_port(), versions)
    runner = web.AppRunner(secrets.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", secrets.port).start()
    yield secrets
    await runner.cleanup()


async def read_checksums(server: SecretServer) -> dict[str, str]:
    """checksum/secrets of each component, as an installation on that cluster would set it."""
    files = await asyncio.to_thread(_render_connected, f"http://127.0.0.1:{server.port}")
    checksums = {}
    for component in ("dataplane", "controlplane", "consumer"):
        deployment: dict[str, Any] = yaml.safe_load(files[f"tollway/templates/{component}.yaml"])
        checksums[component] = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/secrets"]
    return checksums


def _render_connected(url: str) -> dict[str, str]:
    with (
        helm_python.Config(kube_apiserver=url, namespace="gateway", storage_driver="memory") as cluster,
        helm_python.Chart.load(CHART) as chart,
    ):
        return cluster.render(chart, dict(MINIMAL), name="tw", namespace="gateway", is_install=True)


async def test_component_restarts_when_a_secret_it_reads_has_changed(server: SecretServer) -> None:
    before = await read_checksums(server)
    assert await read_checksums(server) == before
    server.versions["tollway-nats"] = "4"
    after = await read_checksums(server)
    changed = {component for component in before if after[component] != before[component]}
    assert changed == {"dataplane", "consumer"}


async def test_only_the_named_secrets_are_read(server: SecretServer) -> None:
    await read_checksums(server)
    assert set(server.asked) == {"tollway-secrets", "tollway-postgres", "tollway-nats"}


async def test_secret_that_is_not_there_does_not_stop_the_render(server: SecretServer) -> None:
    complete = await read_checksums(server)
    del server.versions["tollway-postgres"]
    partial = await read_checksums(server)
    assert partial["dataplane"] == complete["dataplane"]
    assert partial["controlplane"] != complete["controlplane"]
