"""Run as a script: starts a PostgreSQL in a folder, says where as a line of JSON, and stops it when stdin ends."""

import asyncio
import json
import sys
from pathlib import Path

from tollctl.local.postgres import EmbeddedPostgres


async def _hold(folder: Path) -> None:
    server = EmbeddedPostgres(folder, fsync=False)
    url = await server.start()
    print(json.dumps({"url": url, "pid": server.pid}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_hold(Path(sys.argv[1])))
