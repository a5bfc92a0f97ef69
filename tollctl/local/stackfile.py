"""DATA_DIR/stack.json: what is running, for programs."""

import json
from pathlib import Path
from typing import Any

from tollctl.local.blueprint import SERVICE_NAMES, Blueprint
from tollctl.local.files import write_private
from tollctl.local.ports import LOOPBACK

_FILE = "stack.json"


def write_stack(blueprint: Blueprint) -> None:
    """Replace the file (0600) by what runs at this moment; a service that does not has null for a process id."""
    content = render_stack(blueprint)
    write_private(blueprint.data_dir / _FILE, json.dumps(content, indent=2) + "\n")


def remove_stack(data_dir: Path) -> None:
    """Say that nothing runs."""
    (data_dir / _FILE).unlink(missing_ok=True)


def render_stack(blueprint: Blueprint) -> dict[str, Any]:
    ports, credentials = blueprint.ports, blueprint.credentials
    is_demo = bool(blueprint.sim_url)
    services = {name: blueprint.service(name) for name in SERVICE_NAMES}
    return {
        "openai_base_url": f"http://{LOOPBACK}:{ports.api}/v1",
        "admin_url": f"http://{LOOPBACK}:{ports.admin}",
        "grpc_address": f"{LOOPBACK}:{ports.grpc}",
        "metrics_urls": {
            "dataplane": f"http://{LOOPBACK}:{ports.metrics}/metrics",
            "controlplane": f"http://{LOOPBACK}:{ports.controlplane_metrics}/metrics",
            "consumer": f"http://{LOOPBACK}:{ports.consumer_metrics}/metrics",
        },
        "database_url": blueprint.database_url,
        "nats_url": blueprint.nats_url,
        "sim_url": blueprint.sim_url or None,
        "admin_token": credentials.admin_token,
        "plane_token": credentials.plane_token,
        "demo_key": credentials.demo_key if is_demo else None,
        "pids": {name: None if service is None else service.pid for name, service in services.items()},
    }
