"""The plain listener beside a process's work: /livez, /readyz and /metrics."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from controlplane.transport.readiness import Readiness


def probe_app(readiness: Readiness, registry: CollectorRegistry) -> web.Application:
    """/livez tells that the event loop turns; /readyz that the process should get work, or 503 and why not."""
    app = web.Application()
    add_probe_routes(app, readiness)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/metrics", metrics)
    return app


def add_probe_routes(app: web.Application, readiness: Readiness) -> None:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if readiness.is_ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=f"not ready: {readiness.reason}\n")

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
