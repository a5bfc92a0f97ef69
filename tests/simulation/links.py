"""Streams between the planes: messages take time, come twice, overtake one another, or are lost with the stream."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tests.simulation.process import Process
from tests.simulation.timeline import MILLISECOND_US, SECOND_US, Timeline
from tollway.quota.v1.quota_pb2 import LeaseRequest, LeaseResponse

# How long it takes an end to notice that the other one does not answer any more.
KEEPALIVE_US = 5 * SECOND_US

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class Weather:
    """How messages fare; chances per message in ppm."""

    lost_ppm: int = 0
    repeated_ppm: int = 0
    overtaken_ppm: int = 0
    late_ppm: int = 0

    fastest_us: int = 200
    slowest_us: int = 2 * MILLISECOND_US
    latest_us: int = 800 * MILLISECOND_US


class Pipe(Generic[Message]):
    """One direction of a stream, towards `reader`."""

    def __init__(
        self,
        timeline: Timeline,
        chance: random.Random,
        weather: Weather,
        reader: Process,
        deliver: Callable[[Message], None],
    ) -> None:
        self._is_open = True
        self._is_read = True
        self._timeline = timeline
        self._chance = chance
        self._weather = weather
        self._reader = reader
        self._deliver = deliver
        self._last_us = 0

    def send(self, message: Message) -> bool:
        """Whether it will arrive; a stream that lost one carries no further ones."""
        if not self._is_open or self._happens(self._weather.lost_ppm):
            return False
        self._plan(message)
        if self._happens(self._weather.repeated_ppm):
            self._plan(message)
        return True

    def close(self) -> None:
        """The writer sends no more; what is on its way arrives."""
        self._is_open = False

    def abandon(self) -> None:
        """The reader takes no more."""
        self._is_read = False

    def _plan(self, message: Message) -> None:
        weather = self._weather
        slowest = weather.latest_us if self._happens(weather.late_ppm) else weather.slowest_us
        arrives_us = self._timeline.now_us + self._chance.randint(weather.fastest_us, slowest)
        if not self._happens(weather.overtaken_ppm):
            arrives_us = self._last_us = max(self._last_us, arrives_us)
        self._timeline.at(arrives_us, lambda: self._reader.run(lambda: self._arrive(message)))

    def _arrive(self, message: Message) -> None:
        if self._is_read:
            self._deliver(message)

    def _happens(self, ppm: int) -> bool:
        return ppm > 0 and self._chance.randrange(1_000_000) < ppm


class Stream:
    """A LeaseService.Lease call: requests up, responses down, until either end has enough of it.

    `on_request(stream, message)` runs at the server, `on_response(stream, message)` and `on_end(stream)` at the client.
    """

    def __init__(self, wire: "Wire", client: Process, server: Process, ends: "Ends") -> None:
        self.client, self.server = client, server
        self.is_over = False
        self._ends = ends
        self._up: Pipe[LeaseRequest] = wire.pipe(server, lambda message: ends.on_request(self, message))
        self._down: Pipe[LeaseResponse] = wire.pipe(client, lambda message: ends.on_response(self, message))
        server.at_death(self, lambda: client.after(MILLISECOND_US, self.end))
        client.at_death(self, self._leave)

    def request(self, message: LeaseRequest) -> None:
        if not self._up.send(message):
            self.lose(KEEPALIVE_US)

    def respond(self, message: LeaseResponse) -> None:
        if not self._down.send(message):
            self.lose(KEEPALIVE_US)

    def end(self) -> None:
        """The client has enough of it, or hears that it ended; the server may still read what is on its way."""
        if not self.is_over:
            self._leave()
            self._ends.on_end(self)

    def refuse(self) -> None:
        """The server ends it."""
        self._up.abandon()
        self._down.close()
        self.client.after(MILLISECOND_US, self.end)

    def _leave(self) -> None:
        self.is_over = True
        self._up.close()
        self._down.abandon()
        self.server.forget(self)
        self.client.forget(self)

    def lose(self, noticed_us: int) -> None:
        """Nothing comes through any more, which the client notices after a while."""
        self._up.close()
        self._down.close()
        self.client.after(noticed_us, self.end)


class Ends(Protocol):
    """Who is at the ends of a stream."""

    def on_request(self, stream: Stream, message: LeaseRequest) -> None: ...

    def on_response(self, stream: Stream, message: LeaseResponse) -> None: ...

    def on_end(self, stream: Stream) -> None: ...


class Wire:
    """The network between the planes."""

    def __init__(self, timeline: Timeline, chance: random.Random, weather: Weather) -> None:
        self._timeline = timeline
        self._chance = chance
        self._weather = weather

    def pipe(self, reader: Process, deliver: Callable[[Message], None]) -> Pipe[Message]:
        return Pipe(self._timeline, self._chance, self._weather, reader, deliver)
