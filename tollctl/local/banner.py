"""What `tollctl up` says when all is ready."""

from collections.abc import Mapping

from tollctl.local.blueprint import NATS, POSTGRES, Blueprint, describe_store
from tollctl.local.demo import DEMO_MODEL, keyed_providers
from tollctl.local.ports import LOOPBACK

_BODY = '{"model": "%s", "messages": [{"role": "user", "content": "Hello, Tollway!"}]}'


def render_banner(blueprint: Blueprint, environ: Mapping[str, str]) -> str:
    """The addresses, a curl to paste, and the line that says that all is ready."""
    ports = blueprint.ports
    rows = {
        "OpenAI base URL": f"http://{LOOPBACK}:{ports.api}/v1",
        "admin API": f"http://{LOOPBACK}:{ports.admin} (token in {blueprint.data_dir / 'stack.json'})",
        "gRPC": f"{LOOPBACK}:{ports.grpc}",
        "metrics": f"http://{LOOPBACK}:{ports.metrics}/metrics",
        "PostgreSQL": describe_store(blueprint.database_url, blueprint.service(POSTGRES) is not None),
        "NATS JetStream": describe_store(blueprint.nats_url, blueprint.service(NATS) is not None),
    }
    if blueprint.sim_url:
        providers = ["sim", *keyed_providers(environ)]
        rows |= {"simulated provider": blueprint.sim_url, "providers": ", ".join(providers)}
    rows["logs"] = str(blueprint.data_dir / "logs")
    table = "\n".join(f"  {title:<20}{value}" for title, value in rows.items())
    return f"\n{table}\n\n{render_curl(blueprint)}\n\ntollway is up"


def render_curl(blueprint: Blueprint) -> str:
    """A first call, ready to paste."""
    base = f"http://{LOOPBACK}:{blueprint.ports.api}"
    if not blueprint.sim_url:
        return f"curl {base}/livez"
    return " \\\n".join(
        (
            f"curl {base}/v1/chat/completions",
            f"  -H 'Authorization: Bearer {blueprint.credentials.demo_key}'",
            "  -H 'Content-Type: application/json'",
            f"  -d '{_BODY % DEMO_MODEL}'",
        )
    )
