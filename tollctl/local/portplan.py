"""Which ports a stack's services listen on."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from tollctl.local.errors import PortTaken
from tollctl.local.files import make_private_folder
from tollctl.local.options import UpOptions
from tollctl.local.ports import claim_port, recall_port, remembered_port

_DYING_S = 3.0


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1; `sim` is 0 where there is no demo."""

    api: int
    admin: int
    grpc: int
    metrics: int
    controlplane_metrics: int
    consumer_metrics: int
    sim: int

    @property
    def all(self) -> frozenset[int]:
        return frozenset(astuple(self))


async def choose_ports(options: UpOptions, data_dir: Path) -> Ports:
    """The ports asked for, and free ones that are remembered in DATA_DIR/ports. Raises PortTaken, naming the flag."""
    asked = {
        "port": options.port,
        "admin-port": options.admin_port,
        "grpc-port": options.grpc_port,
        "metrics-port": options.metrics_port,
    }
    patience_s = _DYING_S if (data_dir / "stack.json").exists() else 0.0
    avoid: set[int] = set()
    for flag, port in asked.items():
        await _check_asked(port, flag, patience_s, avoid)
        avoid.add(port)
    memory = make_private_folder(data_dir / "ports")
    chosen = {**asked, "controlplane-metrics": 0, "consumer-metrics": 0, "sim": 0}
    for name, port in chosen.items():
        chosen[name] = port or await _recall(memory / name, patience_s, avoid)
        avoid.add(chosen[name])
    return Ports(
        api=chosen["port"],
        admin=chosen["admin-port"],
        grpc=chosen["grpc-port"],
        metrics=chosen["metrics-port"],
        controlplane_metrics=chosen["controlplane-metrics"],
        consumer_metrics=chosen["consumer-metrics"],
        sim=chosen["sim"] if options.demo else 0,
    )


async def _check_asked(port: int, flag: str, patience_s: float, avoid: Collection[int]) -> None:
    """A stack that was killed a moment ago still holds its ports: patience_s is how long to wait for them."""
    if not port:
        return
    if port in avoid:
        raise PortTaken(f"port {port} is asked for twice: choose another --{flag}")
    try:
        await claim_port(port, flag, patience_s)
    except PortTaken:
        raise PortTaken(f"port {port} is in use: stop what listens there, or choose another --{flag}") from None


async def _recall(memory: Path, patience_s: float, avoid: Collection[int]) -> int:
    with suppress(PortTaken):
        await claim_port(remembered_port(memory), memory.name, patience_s)
    return recall_port(memory, avoid)
