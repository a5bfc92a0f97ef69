import asyncio
import logging
import math

import pytest

from tests.integration.dataplane_config.scripted_feed import TOKEN, ScriptedFeed, serving, until
from tests.integration.dataplane_config.subscriber import subscribing
from tests.unit.dataplane.config.machine import digest, key, pepper, route, upstream

Feed = tuple[ScriptedFeed, str]


async def test_an_update_comes_into_force_with_its_last_part(feed: Feed) -> None:
    scripted, address = feed
    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        assert (stream.hello.node, stream.hello.boot_id, stream.hello.build) == ("node-1", 7, "0.0.1")
        assert not stream.hello.HasField("resume_from")
        first = await stream.send(5, [pepper(), key("a", 1)], reset=True, last_part=False)
        assert not first.HasField("applied")
        assert plane.holder.current is None
        assert plane.holder.age_s == math.inf
        last = await stream.send(5, [key("b", 2), upstream("u"), route("r", "u")], reset=True)
        assert (last.applied.epoch, last.applied.revision, list(last.rejections)) == ("e", 5, [])
        snapshot = plane.holder.current
        assert snapshot is not None
        assert (set(snapshot.keys), set(snapshot.routes)) == ({digest(1), digest(2)}, {"r"})
        assert snapshot.pepper == b"pepper"


async def test_a_delta_changes_what_it_names_and_a_reset_everything(feed: Feed) -> None:
    scripted, address = feed
    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        await stream.send(1, [key("a", 1), key("b", 2), upstream("u")], reset=True)
        pinned = plane.holder.current
        await stream.send(2, [key("a", 1, revoked=True)], removals=["teams/t/keys/b"])
        assert plane.holder.current is not None
        assert set(plane.holder.current.keys) == {digest(1)}
        assert plane.holder.current.keys[digest(1)].key.revoked
        assert pinned is not None
        assert not pinned.keys[digest(1)].key.revoked
        await stream.send(1, [key("c", 3)], epoch="f", reset=True)
        assert plane.holder.applied_cursor is not None
        assert (plane.holder.applied_cursor.epoch, set(plane.holder.current.keys)) == ("f", {digest(3)})
        assert plane.holder.current.upstreams == {}


async def test_what_is_refused_is_acknowledged_until_it_is_mended(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    scripted, address = feed
    async with subscribing(address):
        stream = await scripted.next_stream()
        ack = await stream.send(1, [route("r", "missing", revision=9), upstream("u")], reset=True)
        assert [(r.name, r.revision) for r in ack.rejections] == [("routes/r", 9)]
        assert "upstreams/missing" in ack.rejections[0].reason
        ack = await stream.send(2, [key("a", 1)])
        assert [r.name for r in ack.rejections] == ["routes/r"]
        ack = await stream.send(3, [upstream("missing")])
        assert (list(ack.rejections), ack.applied.revision) == ([], 3)
    assert len([r for r in caplog.records if "routes/r" in r.getMessage()]) == 1


async def test_a_broken_stream_is_resumed_at_once_from_where_it_was(feed: Feed) -> None:
    scripted, address = feed
    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        await stream.send(41, [key("a", 1)], reset=True)
        stream.end()
        broken_s = asyncio.get_running_loop().time()
        resumed = await scripted.next_stream()
        assert asyncio.get_running_loop().time() - broken_s < 1.0
        assert (resumed.hello.resume_from.epoch, resumed.hello.resume_from.revision) == ("e", 41)
        assert plane.holder.current is not None
        ack = await resumed.send(42, removals=["teams/t/keys/a"])
        assert ack.applied.revision == 42
        assert plane.holder.current.keys == {}


async def test_parts_of_an_update_that_broke_off_count_for_nothing(feed: Feed) -> None:
    scripted, address = feed
    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        await stream.send(1, [key("a", 1)], reset=True)
        await stream.send(2, [key("b", 2)], last_part=False)
        stream.end()
        resumed = await scripted.next_stream()
        assert resumed.hello.resume_from.revision == 1
        await resumed.send(2, [key("c", 3)])
        assert plane.holder.current is not None
        assert set(plane.holder.current.keys) == {digest(1), digest(3)}


async def test_silence_ends_a_stream_and_heartbeats_keep_it(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    scripted, address = feed
    async with subscribing(address, heartbeat_timeout_s=0.6) as plane:
        stream = await scripted.next_stream()
        await stream.send(1, reset=True)
        began_s = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() - began_s > 1.5, stream.beat)
        assert plane.holder.age_s < 0.6
        resumed = await scripted.next_stream()
        assert resumed.hello.resume_from.revision == 1
        assert plane.holder.age_s >= 0.6
        assert any("not even a heartbeat" in record.getMessage() for record in caplog.records)
        await resumed.beat()
        await until(lambda: plane.holder.age_s < 0.6)


async def test_a_wrong_token_is_logged_once_and_tried_until_it_is_right(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    scripted, address = feed
    scripted.token = "another"
    async with subscribing(address) as plane:

        def told() -> list[str]:
            return [record.getMessage() for record in caplog.records if "TOLLWAY_PLANE_TOKEN" in record.getMessage()]

        # gRPC gives some of the streams that a server refuses the code INTERNAL, whatever the server said.
        await until(lambda: bool(told()))
        refusals = scripted.refusals
        await until(lambda: scripted.refusals >= refusals + 3)
        assert len(told()) == 1
        assert TOKEN not in caplog.text
        scripted.token = TOKEN
        stream = await scripted.next_stream()
        await stream.send(1, reset=True)
        assert plane.holder.current is not None


async def test_addresses_are_tried_in_turn_and_names_with_all_their_addresses() -> None:
    scripted = ScriptedFeed()
    async with serving(ScriptedFeed()) as closed_port:
        pass
    async with (
        serving(scripted) as port,
        subscribing(f"127.0.0.1:{closed_port}", "no-such-host.invalid:1", f"localhost:{port}") as plane,
    ):
        stream = await scripted.next_stream()
        await stream.send(3, reset=True)
        assert plane.holder.current is not None


async def test_the_last_configuration_serves_while_the_feed_is_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(ScriptedFeed()) as port:
        pass
    async with subscribing(f"127.0.0.1:{port}") as plane:
        await until(lambda: any("UNAVAILABLE" in record.getMessage() for record in caplog.records))
        assert plane.holder.current is None
        first = ScriptedFeed()
        async with serving(first, port):
            stream = await first.next_stream()
            await stream.send(1, [key("a", 1)], reset=True)
        assert plane.holder.current is not None
        assert set(plane.holder.current.keys) == {digest(1)}
        second = ScriptedFeed()
        async with serving(second, port):
            stream = await second.next_stream()
            assert stream.hello.resume_from.revision == 1
            await stream.send(2, [key("b", 2)])
            assert set(plane.holder.current.keys) == {digest(1), digest(2)}
            await until(lambda: any("config feed is back" in record.getMessage() for record in caplog.records))


async def test_an_older_state_of_the_same_database_is_not_taken(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    scripted, address = feed
    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        await stream.send(9, [key("a", 1, revoked=True)], reset=True)
        stream.end()
        lagging = await scripted.next_stream()
        await lagging.offer(8, reset=True)
        caught_up = await scripted.next_stream()
        assert caught_up.hello.resume_from.revision == 9
        await caught_up.send(10, [key("b", 2)])
        assert plane.holder.current is not None
        assert set(plane.holder.current.keys) == {digest(1), digest(2)}
        assert any("older than 9" in record.getMessage() for record in caplog.records)


async def test_a_breach_of_the_protocol_ends_the_stream_and_nothing_else(feed: Feed) -> None:
    scripted, address = feed
    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        await stream.offer(5)
        again = await scripted.next_stream()
        assert not again.hello.HasField("resume_from")
        await again.send(5, reset=True)
        assert plane.holder.current is not None


async def test_a_whole_configuration_is_compiled_beside_the_event_loop(feed: Feed) -> None:
    scripted, address = feed
    keys = [key(f"k{number}", number, models=["gpt-*"]) for number in range(1, 20_001)]
    gaps_s = []

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await asyncio.sleep(0.001)
            gaps_s.append(loop.time() - last_s)
            last_s = loop.time()

    async with subscribing(address) as plane:
        stream = await scripted.next_stream()
        for start in range(0, len(keys), 5_000):
            await stream.send(1, keys[start : start + 5_000], reset=True, last_part=False)
        ticker = asyncio.create_task(tick())
        began_s = asyncio.get_running_loop().time()
        await stream.send(1, [pepper()], reset=True)
        took_s = asyncio.get_running_loop().time() - began_s
        ticker.cancel()
        assert plane.holder.current is not None
        assert len(plane.holder.current.keys) == len(keys)
        assert max(gaps_s) < took_s / 2, f"the loop stood still for {max(gaps_s):.3f} of {took_s:.3f} s"
