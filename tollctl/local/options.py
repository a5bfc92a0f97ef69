"""What `tollctl up` is asked for."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpOptions:
    """One stack. A port of 0 is a free one, the same at every start while it stays free.

    data_dir: where all state is; made if it is not there.
    config: manifest files and folders, applied in one transaction at each start.
    port: of the apps' API; admin_port, grpc_port: of the control plane; metrics_port: of the data plane's metrics.
    database_url, nats_url: used instead of the embedded servers.
    demo: whether team `demo`, its key and the simulated provider are there.
    """

    data_dir: Path = Path(".tollway")
    config: tuple[str, ...] = ()
    port: int = 8080
    admin_port: int = 8081
    grpc_port: int = 8082
    metrics_port: int = 9090
    database_url: str | None = field(default=None, repr=False)
    nats_url: str | None = field(default=None, repr=False)
    demo: bool = True
