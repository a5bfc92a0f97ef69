"""Runs the bench and prints, per shape of load, what the gateway costs beside a bare aiohttp proxy.

The two take turns on one processor; upstream and load generator share another. CPU per call is compared pair by pair,
since a busy machine blurs it least. Exit status 1 when a bound is not met.
"""

import argparse
import asyncio
import os
import secrets
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import nats
import yaml

from tests.bench.limits import THROUGHPUT_BOUND, running_gateways
from tests.bench.processes import PinnedProcess, run_load
from tests.bench.ratios import Ratio, pair_ratio
from tollctl.local.nats import EmbeddedNats
from tollway.kernel.keys import make_virtual_key
from tollway.kernel.subjects import USAGE_STREAM, USAGE_SUBJECTS

GATEWAY_CPU, LOAD_CPU = 0, 1
CPU_RATIO_BOUND = 2.0
TRANSLATED_THROUGHPUT_BOUND = 2.5
CHUNK_RATIO_BOUND = 1.5
ADDED_P50_BOUND_MS = 1.5
RESIDENT_BOUND_MIB = 150.0
SLOPE_BOUND_MIB = 5.0
SOAK_STEPS = 5


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of load: `calls` per turn over `concurrency` connections. Those to "claude" are translated."""

    name: str
    stream: bool
    concurrency: int
    calls: int
    model: str = "bench/bench"


SHAPES = (
    Shape("json, 1 at a time", False, 1, 500),
    Shape("json, 32 at a time", False, 32, 2500),
    Shape("json, 256 at a time", False, 256, 2500),
    Shape("stream, 1 at a time", True, 1, 40),
    Shape("stream, 32 at a time", True, 32, 640),
    Shape("stream, 256 at a time", True, 256, 768),
)
TRANSLATED = Shape("translated json, 32 at a time", False, 32, 2500, "claude/bench")
LONG_STREAMS = (
    Shape("long stream, 32 at a time", True, 32, 96, "bench/long"),
    Shape("translated long stream, 32 at a time", True, 32, 96, "claude/long"),
)
LIMITS_SHAPE = Shape("2,000 keys, three rules each", False, 32, 6000)


@dataclass(slots=True)
class Turns:
    """What the turns of one server in one shape measured."""

    cpu_us: list[float] = field(default_factory=list)
    calls_per_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def line(self) -> str:
        figures = (statistics.median(f) for f in (self.cpu_us, self.calls_per_s, self.p50_ms, self.p99_ms))
        return "{:>8.0f} {:>9.0f} {:>9.2f} {:>9.2f}".format(*figures)


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers that are compared, and the key that the gateway wants."""

    gateway: PinnedProcess
    proxy: PinnedProcess
    key: str
    upstream_port: int
    nats_url: str

    async def turn(self, server: PinnedProcess, shape: Shape, turns: Turns | None, keys: Path | None = None) -> None:
        arguments = [
            "--port", str(server.port), "--calls", str(shape.calls), "--concurrency", str(shape.concurrency),
            "--model", shape.model,
            *(["--key", self.key] if keys is None else ["--keys", str(keys)]),
            *(["--stream"] if shape.stream else []),
        ]  # fmt: skip
        cpu_before_s = server.cpu_s()
        measured = await run_load(LOAD_CPU, *arguments)
        if measured["failed"] and turns is not None:
            raise SystemExit(f"{measured['failed']:.0f} of {measured['calls']:.0f} calls failed in {shape.name}")
        if turns is not None:
            turns.cpu_us.append(1e6 * (server.cpu_s() - cpu_before_s) / measured["calls"])
            turns.calls_per_s.append(measured["calls"] / measured["elapsed_s"])
            turns.p50_ms.append(measured["p50_ms"])
            turns.p99_ms.append(measured["p99_ms"])

    async def compare(self, shape: Shape, pairs: int) -> tuple[Turns, Turns]:
        """Turns of the gateway and of the proxy, in alternating order, after one uncounted turn each.

        What fails in an uncounted turn is for want of what it is there to fetch: connections, and leases.
        """
        return await self._alternate((self.gateway, self.proxy), shape, pairs)

    async def compare_limits(self, folder: Path, pairs: int) -> tuple[Turns, Turns]:
        """Turns of a gateway with rules and of one without; see tests.bench.limits."""
        cpus = (GATEWAY_CPU, LOAD_CPU)
        async with running_gateways(folder, self.upstream_port, self.nats_url, cpus) as (free, ruled, keys):
            return await self._alternate((ruled, free), LIMITS_SHAPE, pairs, keys)

    async def _alternate(
        self, servers: tuple[PinnedProcess, PinnedProcess], shape: Shape, pairs: int, keys: Path | None = None
    ) -> tuple[Turns, Turns]:
        first, second = Turns(), Turns()
        order = [(servers[0], first), (servers[1], second)]
        for server in servers:
            await self.turn(server, shape, None, keys)
        for number in range(pairs):
            for server, turns in order if number % 2 else reversed(order):
                await self.turn(server, shape, turns, keys)
        return first, second

    async def soak(self, calls: int) -> list[float]:
        """Resident memory in MiB after each fifth of `calls`."""
        sizes = []
        for _ in range(SOAK_STEPS):
            await self.turn(self.gateway, Shape("soak", False, 32, calls // SOAK_STEPS), None)
            sizes.append(self.gateway.resident_mib())
        return sizes


@asynccontextmanager
async def running_bench(folder: Path) -> AsyncIterator[Bench]:
    """Upstream, proxy, NATS and the gateway in file mode, all ended on the way out."""
    broker = EmbeddedNats(folder / "nats")
    await broker.start()
    started: list[PinnedProcess] = []
    try:
        await _create_stream(broker.url())
        upstream = await PinnedProcess.start(LOAD_CPU, "-m", "tests.bench.upstream")
        started.append(upstream)
        proxy = await PinnedProcess.start(
            GATEWAY_CPU, "-m", "tests.bench.proxy", "--upstream", f"http://127.0.0.1:{upstream.port}"
        )
        started.append(proxy)
        key = make_virtual_key(secrets.randbelow)
        environment = _gateway_environment(folder, upstream.port, key, broker.url())
        gateway = await PinnedProcess.start(
            GATEWAY_CPU, "-m", "dataplane.main", environment=environment, port=_free_port(environment)
        )
        started.append(gateway)
        await _wait_ready(gateway)
        yield Bench(gateway, proxy, key, upstream.port, broker.url())
    finally:
        for process in reversed(started):
            await process.stop()
        await broker.stop()


def _gateway_environment(folder: Path, upstream_port: int, key: str, nats_url: str) -> dict[str, str]:
    manifests = [
        {"kind": "Team", "metadata": {"name": "bench"}},
        {
            "kind": "VirtualKey",
            "metadata": {"name": "k", "team": "bench"},
            "spec": {"secret": {"ref": "env:BENCH_KEY"}},
        },
        {
            "kind": "Upstream",
            "metadata": {"name": "bench"},
            "spec": {"provider": "sim", "base_url": f"http://127.0.0.1:{upstream_port}/v1"},
        },
        {
            "kind": "Upstream",
            "metadata": {"name": "claude"},
            "spec": {"provider": "anthropic", "base_url": f"http://127.0.0.1:{upstream_port}"},
        },
    ]
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump_all([{"apiVersion": "tollway/v1", **manifest} for manifest in manifests]))
    return {
        "BENCH_KEY": key,
        "TOLLWAY_CONFIG_FILE": str(path),
        "TOLLWAY_NATS_URL": nats_url,
        "TOLLWAY_LISTEN": f"127.0.0.1:{_pick_port()}",
        "TOLLWAY_METRICS_LISTEN": f"127.0.0.1:{_pick_port()}",
        "TOLLWAY_DRAIN_DELAY_S": "0",
        "TOLLWAY_SPOOL_DIR": str(folder / "spool"),
    }


def _free_port(environment: dict[str, str]) -> int:
    return int(environment["TOLLWAY_LISTEN"].rpartition(":")[2])


def _pick_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def _create_stream(url: str) -> None:
    """A stream that keeps little: the bench measures the data plane, and nothing books its events."""
    connection = await nats.connect(url)
    await connection.jetstream().add_stream(
        name=USAGE_STREAM, subjects=[USAGE_SUBJECTS], max_bytes=64 * 2**20, discard="old"
    )
    await connection.close()


async def _wait_ready(gateway: PinnedProcess) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while gateway.is_running:
            try:
                async with session.get(f"http://127.0.0.1:{gateway.port}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise SystemExit("the gateway did not become ready")


async def run(options: argparse.Namespace) -> int:
    """Prints the tables and verdicts; the number of bounds that were not met."""
    verdicts: list[tuple[bool, str]] = []
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        async with running_bench(Path(folder)) as bench:
            print(f"{'shape':38}{'server':10}{'CPU us':>8} {'calls/s':>9} {'p50 ms':>9} {'p99 ms':>9}  CPU ratio [95%]")
            for shape in (*SHAPES, TRANSLATED, *LONG_STREAMS):
                if options.only and options.only not in shape.name:
                    continue
                gateway, proxy = await bench.compare(shape, options.pairs)
                ratio = pair_ratio(gateway.cpu_us, proxy.cpu_us)
                print(f"{shape.name:38}{'gateway':10}{gateway.line()}  {ratio}")
                print(f"{'':38}{'bare proxy':10}{proxy.line()}", flush=True)
                verdicts += _verdicts(shape, ratio, gateway, proxy)
            if not options.only or options.only in LIMITS_SHAPE.name:
                verdicts.append(await _run_limits(bench, Path(folder), options.pairs))
            if options.soak:
                sizes = await bench.soak(options.soak)
                print(f"resident memory over {options.soak} calls, MiB: " + " ".join(f"{size:.0f}" for size in sizes))
                verdicts += _memory_verdicts(sizes)
    for is_met, text in verdicts:
        print(f"{'met' if is_met else 'NOT MET':8}{text}")
    return sum(not is_met for is_met, _ in verdicts)


async def _run_limits(bench: Bench, folder: Path, pairs: int) -> tuple[bool, str]:
    ruled, free = await bench.compare_limits(folder, pairs)
    ratio = pair_ratio(free.calls_per_s, ruled.calls_per_s)
    print(f"{LIMITS_SHAPE.name}, CPU ratio {pair_ratio(ruled.cpu_us, free.cpu_us)}")
    print(f"{'':24}{'rules':10}{ruled.line()}  {ratio} of throughput")
    print(f"{'':24}{'no rules':10}{free.line()}", flush=True)
    return ratio.meets(
        THROUGHPUT_BOUND
    ), f"{LIMITS_SHAPE.name}: throughput {ratio} times less, {THROUGHPUT_BOUND} allowed"


def _verdicts(shape: Shape, ratio: Ratio, gateway: Turns, proxy: Turns) -> list[tuple[bool, str]]:
    if shape is TRANSLATED:
        slower = pair_ratio(proxy.calls_per_s, gateway.calls_per_s)
        text = f"{shape.name}: throughput {slower} times less, {TRANSLATED_THROUGHPUT_BOUND} allowed"
        return [(slower.meets(TRANSLATED_THROUGHPUT_BOUND), text)]
    if shape is LONG_STREAMS[1]:
        return [(ratio.meets(CHUNK_RATIO_BOUND), f"{shape.name}: CPU ratio {ratio} against {CHUNK_RATIO_BOUND}")]
    if shape.stream or shape.concurrency > 32:
        return []
    if shape.concurrency == 32:
        return [(ratio.meets(CPU_RATIO_BOUND), f"{shape.name}: CPU ratio {ratio} against {CPU_RATIO_BOUND}")]
    added_ms = statistics.median(g - p for g, p in zip(gateway.p50_ms, proxy.p50_ms, strict=True))
    return [(added_ms <= ADDED_P50_BOUND_MS, f"{shape.name}: added p50 {added_ms:.2f} ms against {ADDED_P50_BOUND_MS}")]


def _memory_verdicts(sizes: list[float]) -> list[tuple[bool, str]]:
    last, grown = sizes[-1], sizes[-1] - sizes[1]
    return [
        (last < RESIDENT_BOUND_MIB, f"resident {last:.0f} MiB against {RESIDENT_BOUND_MIB:.0f}"),
        (grown < SLOPE_BOUND_MIB, f"growth after warm-up {grown:.1f} MiB against {SLOPE_BOUND_MIB:.0f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--pairs", type=int, default=8, help="turns of each server per shape")
    parser.add_argument("--only", default="", help="shapes whose name contains this")
    parser.add_argument("--soak", type=int, default=100_000, help="calls of the memory run; 0 leaves it out")
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        sys.exit("the bench needs Linux and two processors that it may pin to: run it where `nproc` prints 2 or more")
    sys.exit(min(1, asyncio.run(run(options))))


if __name__ == "__main__":
    main()
