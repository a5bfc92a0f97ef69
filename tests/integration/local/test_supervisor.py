"""Real processes under the supervisor: started again when they die, ended in order, never left behind."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tollctl.local.errors import LocalError, PortTaken, ServiceFailed
from tollctl.local.ports import PORTS_VARIABLE, claim_port, find_free_port, is_free, recall_port
from tollctl.local.process import Child, Command
from tollctl.local.service import Service
from tollctl.local.supervisor import Supervisor, run_all

READY = "open('ready.' + str(os.getpid()), 'w').close()"
FOREVER = "import os, time\n" + READY + "\nwhile True: time.sleep(1)"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER


class Script(Service):
    """A Python text that is ready when it has made its file."""

    def __init__(self, name: str, text: str, folder: Path) -> None:
        super().__init__(name, folder / f"{name}.log", ((signal.SIGTERM, 30.0),))
        self._text = text
        self._folder = folder

    async def _prepare(self) -> Command:
        return Command((sys.executable, "-c", self._text), {}, self._folder, log=self.log)

    async def _is_ready(self, pid: int) -> bool:
        return (self._folder / f"ready.{pid}").exists()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def test_a_service_that_dies_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    seen: list[int | None] = []
    service = Script("one", FOREVER, tmp_path)
    supervisor = Supervisor([service], said.append, lambda: seen.append(service.pid))
    await supervisor.start(service)
    keeping = asyncio.create_task(supervisor.keep_running())
    try:
        for count in (1, 2):
            first = service.pid
            service.kill()
            await until(lambda count=count: len(seen) == count)  # type: ignore[misc]
            assert service.pid == seen[-1] != first
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await supervisor.stop(hurry=asyncio.Event())
    assert service.pid is None
    assert any("ended by signal 9; starting it again" in line for line in said)


async def test_a_start_that_fails_is_told_with_the_last_line(tmp_path: Path) -> None:
    said: list[str] = []
    service = Script("broken", "import sys; sys.exit('the disk is full')", tmp_path)
    supervisor = Supervisor([service], said.append, lambda: None)
    with pytest.raises(ServiceFailed, match=r"broken ended with exit code 1 .*: the disk is full"):
        await supervisor.start(service)
    assert len(said) == 2


async def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    service = Script("wrong", "import sys; print('TOLLWAY_X: is wrong'); sys.exit(2)", tmp_path)
    with pytest.raises(ServiceFailed, match="TOLLWAY_X: is wrong"):
        await Supervisor([service], said.append, lambda: None).start(service)
    assert said == []


async def test_services_stop_in_order_and_hurry_kills(tmp_path: Path) -> None:
    ended: list[str] = []
    services = [Script("willing", FOREVER, tmp_path), Script("stubborn", STUBBORN, tmp_path)]
    supervisor = Supervisor(services, lambda _: None, lambda: None)
    await run_all(*(supervisor.start(service) for service in services))
    hurry = asyncio.Event()

    async def note_end(service: Script) -> None:
        await service.wait()
        ended.append(service.name)

    notes = [asyncio.create_task(note_end(service)) for service in services]
    stopping = asyncio.create_task(supervisor.stop(hurry=hurry))
    await until(lambda: ended == ["willing"])
    assert not stopping.done()
    hurry.set()
    await asyncio.wait_for(stopping, 5)
    await asyncio.gather(*notes)
    assert ended == ["willing", "stubborn"]


async def test_one_failure_ends_the_works_beside_it() -> None:
    cancelled = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        raise ServiceFailed("no")

    with pytest.raises(ServiceFailed, match="no"):
        await run_all(wait_for_ever(), fail())
    assert cancelled.is_set()


async def test_a_child_reads_what_it_is_given_and_shows_no_secret(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = "import os, sys; print(sys.stdin.read(), os.environ['WORD'], os.getcwd(), os.getsid(0) == os.getpid())"
    command = Command((sys.executable, "-c", text), {"WORD": "env-secret"}, tmp_path, log=log, text="stdin-secret")
    assert "secret" not in repr(command)
    assert await Child(command).wait() == 0
    assert log.read_text() == f"stdin-secret env-secret {tmp_path} True\n"
    assert log.stat().st_mode & 0o777 == 0o600


async def test_a_child_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    shim = Path(Child.__module__.replace(".", "/")).with_name("shim.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(shim), "1", "9", "-", str(tmp_path), "/bin/true"),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"the parent ended" in error


async def test_a_port_is_free_once_its_listener_is_gone(tmp_path: Path) -> None:
    port = find_free_port()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    assert not is_free(port)
    with pytest.raises(PortTaken, match=f"port {port} for x"):
        await claim_port(port, "x", 0.0)
    claiming = asyncio.create_task(claim_port(port, "x", 5.0))
    server.close()
    await server.wait_closed()
    await claiming


async def test_a_port_is_remembered_while_it_is_free(tmp_path: Path) -> None:
    port = recall_port(tmp_path / "port")
    assert recall_port(tmp_path / "port") == port
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    assert recall_port(tmp_path / "port") != port
    server.close()
    await server.wait_closed()


def test_ports_are_not_taken_from_those_of_outgoing_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PORTS_VARIABLE)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(find_free_port() < max(lowest, 16_000) for _ in range(20))


def test_ports_are_taken_from_the_range_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PORTS_VARIABLE, "20000-20003")
    assert {find_free_port(avoid=(20_001, 20_002)) for _ in range(20)} <= {20_000, 20_003}
    for wrong in ("20000", "a-b", "20003-20000", "0-10", "60000-70000"):
        monkeypatch.setenv(PORTS_VARIABLE, wrong)
        with pytest.raises(LocalError, match="LOWEST-HIGHEST"):
            find_free_port()
