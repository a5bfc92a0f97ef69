"""`tollctl up`: the whole stack on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tollctl.session import session_of


def _port(what: str) -> Any:
    return typer.Option(
        min=0, max=65535, metavar="PORT", help=f"{what}; 0 is a free one, of the range TOLLWAY_FREE_PORTS if set."
    )


ApiPort = Annotated[int, _port("The apps' API")]
AdminPort = Annotated[int, _port("The admin REST API")]
GrpcPort = Annotated[int, _port("The admin gRPC API and the config feed")]
MetricsPort = Annotated[int, _port("The data plane's metrics")]
DataDirOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where state is kept, .tollway unless given; it survives a restart.")
]
ConfigOption = Annotated[
    list[str] | None, typer.Option(metavar="FILE|DIR", help="Manifests applied at each start; may be repeated.")
]
DatabaseOption = Annotated[
    str | None, typer.Option(metavar="URL", help="A PostgreSQL of yours instead of the bundled one.")
]
NatsOption = Annotated[str | None, typer.Option(metavar="URL", help="A NATS of yours instead of the bundled one.")]
DemoOption = Annotated[
    bool, typer.Option("--demo/--no-demo", help="Team demo with a key, and the simulated provider sim.")
]


def up(
    context: typer.Context,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    port: ApiPort = 8080,
    admin_port: AdminPort = 8081,
    grpc_port: GrpcPort = 8082,
    metrics_port: MetricsPort = 9090,
    database_url: DatabaseOption = None,
    nats_url: NatsOption = None,
    demo: DemoOption = True,
) -> None:
    """Run the whole stack in the foreground: no docker, no provider key. Ctrl-C drains and stops it."""
    import asyncio

    from tollctl.local.options import UpOptions
    from tollctl.local.up import run_up

    options = UpOptions(
        data_dir=data_dir or session_of(context).data_dir,
        config=tuple(config or ()),
        port=port,
        admin_port=admin_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        database_url=database_url,
        nats_url=nats_url,
        demo=demo,
    )
    raise typer.Exit(asyncio.run(run_up(options)))
