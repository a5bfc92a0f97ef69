import asyncio
import time
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.integration.dataplane_process.conftest import DataPlaneProcess, Site, status_of
from tests.integration.emitter.conftest import eventually, stored_events, stored_sequences
from tollway.kernel.usage import Meter, SettlementState


@dataclass
class Load:
    """Clients that keep calling; each call's start, and whether it ended as it should."""

    plane: DataPlaneProcess
    calls: list[tuple[float, bool, str]] = field(default_factory=list)
    is_over: bool = False

    async def run(self, clients: int) -> None:
        async with self.plane.session() as session:
            await asyncio.gather(*[self._client(session, number) for number in range(clients)])

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        models = ("sim/echo", "sim/slow-100", "sim/stream-200")
        while not self.is_over:
            started_s = time.monotonic()
            stream = number % 2 == 0
            body = {"model": models[number % 3], "messages": [{"role": "user", "content": "a b c"}], "stream": stream}
            try:
                async with session.post(f"{self.plane.api_url}/v1/chat/completions", json=body) as response:
                    answer = await response.text()
                    ending = "data: [DONE]\n\n" if stream else "}"
                    self.calls.append((started_s, response.status == 200 and answer.endswith(ending), answer[-80:]))
            except aiohttp.ClientError as error:
                self.calls.append((started_s, False, type(error).__name__))
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_call_that_had_begun_is_cut_and_every_event_arrives(site: Site, workers: str) -> None:
    plane = await site.start(TOLLWAY_WORKERS=workers)
    load = Load(plane)
    running = asyncio.create_task(load.run(clients=24))
    await eventually(lambda: len(load.calls) > 200)

    stopped_s = time.monotonic()
    plane.terminate()
    exit_code = await plane.wait()
    load.is_over = True
    await running

    assert exit_code == 0, plane.log
    begun = [call for call in load.calls if call[0] < stopped_s]
    assert [call for call in begun if not call[1]] == []
    assert any(not is_good for _, is_good, _ in load.calls), "calls after the end must be refused"
    stats = await site.stats()
    assert stats["aborted"] == 0
    sequences = await stored_sequences(site.nats.url())
    assert len(sequences) == stats["requests"] == stats["completed"]


async def test_while_it_drains_it_is_not_ready_and_still_serves_new_calls(site: Site) -> None:
    plane = await site.start(TOLLWAY_DRAIN_DELAY_S="1.5")
    async with plane.session() as session:
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": "a"}]}
        async with session.post(f"{plane.api_url}/v1/chat/completions", json=body) as response:
            assert response.headers.get("connection", "").lower() != "close"

        plane.terminate()
        await eventually(lambda: "draining" in plane.log)
        assert await status_of(f"{plane.metrics_url}/readyz") == 503
        assert await status_of(f"{plane.api_url}/readyz") == 503
        assert await status_of(f"{plane.api_url}/livez") == 200
        async with session.post(f"{plane.api_url}/v1/chat/completions", json=body) as response:
            assert response.status == 200
            assert response.headers["connection"].lower() == "close"
    assert await plane.wait() == 0, plane.log


async def test_a_long_stream_and_a_body_under_way_outlive_the_listener(site: Site) -> None:
    plane = await site.start()
    url = f"{plane.api_url}/v1/chat/completions"
    body = b'{"model": "sim/echo", "messages": [{"role": "user", "content": "late"}]}'
    release = asyncio.Event()

    async def slow_body() -> object:
        async def pieces() -> object:
            yield body[:20]
            await release.wait()
            yield body[20:]

        headers = {"content-length": str(len(body)), "content-type": "application/json"}
        async with plane.session() as session, session.post(url, data=pieces(), headers=headers) as response:
            return response.status, (await response.json())["choices"][0]["message"]["content"]

    async def stream(session: aiohttp.ClientSession) -> str:
        message = {"role": "user", "content": "x " * 10}
        long = {"model": "sim/stream-20", "messages": [message], "stream": True}
        async with session.post(url, json=long) as response:
            return await response.text()

    async with plane.session() as session:
        tasks = [asyncio.create_task(stream(session)), asyncio.create_task(slow_body())]
        await eventually(lambda: in_flight(plane, 2))
        plane.terminate()
        await eventually(lambda: refuses(plane))
        release.set()
        streamed, answered = await asyncio.gather(*tasks)

    assert str(streamed).endswith("data: [DONE]\n\n")
    assert answered == (200, "late")
    assert await plane.wait() == 0, plane.log
    assert len(await stored_sequences(site.nats.url())) == 2


async def test_calls_that_do_not_end_in_time_are_cut_and_billed(site: Site) -> None:
    plane = await site.start(TOLLWAY_DRAIN_TIMEOUT_S="0.5")
    body = {"model": "sim/stream-1", "messages": [{"role": "user", "content": "x " * 60}], "stream": True}
    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=body) as response:
        await response.content.readany()
        started_s = time.monotonic()
        plane.terminate()
        assert await plane.wait() == 0, plane.log
        assert time.monotonic() - started_s < 6

    assert "calls are cut" in plane.log
    assert len(await stored_sequences(site.nats.url())) == 1


async def test_usage_that_cannot_be_delivered_at_the_end_waits_in_the_spool_for_the_next_start(site: Site) -> None:
    plane = await site.start()
    await site.nats.stop()
    assert await ask(plane) == 200
    plane.terminate()
    assert await plane.wait() == 0
    assert "stay in the spool" in plane.log
    assert "events=1" in plane.log

    await site.nats.start()
    second = await site.start()
    await eventually(lambda: stored(site, 1))
    await eventually(lambda: not spools_but_one(site))
    second.terminate()
    assert await second.wait() == 0
    assert list(site.spool.iterdir()) == []


async def test_a_process_that_is_killed_leaves_an_event_for_every_attempt(site: Site) -> None:
    plane = await site.start()
    await site.nats.stop()
    for _ in range(3):
        assert await ask(plane) == 200
    body = {"model": "sim/stream-1", "messages": [{"role": "user", "content": "x " * 60}], "stream": True}
    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=body) as response:
        await response.content.readany()
        plane.process.kill()
        await plane.process.wait()

    await site.nats.start()
    second = await site.start()
    await eventually(lambda: stored(site, 4))
    events = await stored_events(site.nats.url())
    assert sorted(event.sequence for event in events) == [1, 2, 3, 4]
    assert len({event.boot_id for event in events}) == 1
    [crashed] = [event for event in events if event.error_code == "gateway_crashed"]
    assert (crashed.sequence, crashed.final, crashed.status, crashed.attempt) == (4, True, 500, 1)
    assert {int(crashed.state), int(crashed.basis)} == {int(SettlementState.ESTIMATED)}
    [reading] = crashed.meters
    assert int(reading.meter) == int(Meter.INPUT)
    assert crashed.cost_nano_usd == reading.quantity * 1000
    assert reading.quantity >= 30
    second.terminate()
    assert await second.wait() == 0


async def test_without_nats_usage_is_kept_for_a_start_that_has_it(site: Site) -> None:
    plane = await site.start(TOLLWAY_NATS_URL="")
    assert await ask(plane) == 200
    plane.terminate()
    assert await plane.wait() == 0
    second = await site.start()
    await eventually(lambda: stored(site, 1))
    second.terminate()
    assert await second.wait() == 0


async def ask(plane: DataPlaneProcess) -> int:
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "a"}]}
    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=body) as response:
        return response.status


async def stored(site: Site, events: int) -> bool:
    return len(await stored_events(site.nats.url())) == events


def spools_but_one(site: Site) -> bool:
    return len(list(site.spool.iterdir())) > 1


async def in_flight(plane: DataPlaneProcess, calls: int) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.metrics_url}/metrics") as response:
        return f"tollway_calls_in_flight {calls}.0" in await response.text()


async def refuses(plane: DataPlaneProcess) -> bool:
    return await status_of(f"{plane.api_url}/livez") == 0
