"""A whole installation in one thread: its parts, how they find one another, and what is seen of them."""

import itertools
import random

from controlplane.quota.rows import BucketName
from tests.simulation.calls import make_call
from tests.simulation.clocks import Clocks
from tests.simulation.configuration import Configuration
from tests.simulation.consumer import Consumer
from tests.simulation.control_plane import ControlPlane
from tests.simulation.data_plane import DataPlane, Surroundings
from tests.simulation.database import Database
from tests.simulation.leases import RATE
from tests.simulation.links import KEEPALIVE_US, Stream, Wire
from tests.simulation.node import Node
from tests.simulation.plan import Plan
from tests.simulation.process import Process
from tests.simulation.quota_store import QuotaStore
from tests.simulation.rules import Rule
from tests.simulation.timeline import SECOND_US, Timeline
from tests.simulation.trace import Trace
from tests.simulation.usage_queue import UsageQueue
from tests.simulation.watches import Watches
from tollway.quota.v1.quota_pb2 import LeaseRequest, LeaseResponse

ORIGIN_US = 1_767_225_590_000_000
"""Ten seconds before a UTC midnight, so that periods of budgets end while the fleet runs."""


class Fleet:
    """Everything is running after `start`; faults come from outside."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.timeline = Timeline()
        self.trace = Trace(self.timeline)
        self.chance = random.Random(plan.seed)
        self.watches = Watches(self.timeline, plan.rules)
        self.database = Database(self.timeline, unlogged=(RATE,))
        self.store = QuotaStore(self.timeline, self.database, ORIGIN_US)
        self.database.watch(self.watches.committed)
        self.queue = UsageQueue(self.timeline, self.chance)
        self.configuration = Configuration(self.chance, plan.rules)
        self.control_planes: list[ControlPlane] = []
        self.consumers: list[Consumer] = []
        self.clocks: list[Clocks] = [self._clocks() for _ in range(plan.data_planes)]
        self.nodes = [Node(f"dp-{n}", self.store, self.queue, self._spawn) for n in range(plan.data_planes)]
        self.planes: list[DataPlane] = []
        self.cut_off: set[str] = set()
        self._serving: dict[Stream, ControlPlane] = {}
        self._asking: dict[Stream, DataPlane] = {}
        self._wire = Wire(self.timeline, self.chance, plan.weather)
        self._boots = itertools.count(1)
        self._calls = itertools.count(1)

    def start(self) -> None:
        for number in range(self.plan.control_planes):
            self.control_planes.append(self.make_control_plane(number))
        for number in range(self.plan.consumers):
            self.consumers.append(self.make_consumer(number))
        for node in self.nodes:
            node.start()
            self._call_later(node)
        self._excuse()

    def make_control_plane(self, number: int) -> ControlPlane:
        process = Process(self.timeline, f"cp-{number}")
        plane = ControlPlane(process, self.store, self.chance, self.trace)
        plane.view = self.configuration.subscribe(process, lambda: None)
        plane.start()
        return plane

    def make_consumer(self, number: int) -> Consumer:
        process = Process(self.timeline, f"consumer-{number}")
        consumer = Consumer(process, self.store, self.queue, self.chance, self.trace)
        consumer.start()
        return consumer

    @property
    def lost_nodes(self) -> set[str]:
        """Those whose spool nobody takes over."""
        return {node.name for node in self.nodes if not node.is_alive}

    def cut(self, node: Node) -> None:
        """No control plane can be reached from the node, and both ends find out in time."""
        self.cut_off.add(node.name)
        self._lose(node, KEEPALIVE_US)

    def break_streams(self, node: Node) -> None:
        self._lose(node, 0)

    def _lose(self, node: Node, noticed_us: int) -> None:
        if node.plane is not None and node.plane.stream is not None:
            node.plane.stream.lose(noticed_us)

    def on_request(self, stream: Stream, message: LeaseRequest) -> None:
        self._serving[stream].on_request(stream, message)

    def on_response(self, stream: Stream, message: LeaseResponse) -> None:
        self._asking[stream].respond(stream, message)

    def on_end(self, stream: Stream) -> None:
        self._asking[stream].ended(stream)

    def _spawn(self, name: str) -> DataPlane:
        number = int(name.removeprefix("dp-"))
        here = Surroundings(
            timeline=self.timeline,
            chance=self.chance,
            clocks=self.clocks[number],
            now_us=self.store.now_us,
            watches=self.watches,
            trace=self.trace,
            meet=self._meet,
            connect=self._connect,
        )
        boot_id = next(self._boots)
        plane = DataPlane(Process(self.timeline, name), name, boot_id, here)
        plane.view = self.configuration.subscribe(plane.process, plane.rules_changed)
        self.planes.append(plane)
        self.trace.note(name, "starts as", boot_id)
        return plane

    def _connect(self, plane: DataPlane) -> Stream | None:
        there = [control for control in self.control_planes if control.process.is_alive]
        if not there or plane.node in self.cut_off:
            return None
        control = self.chance.choice(there)
        stream = Stream(self._wire, plane.process, control.process, self)
        self._serving[stream] = control
        self._asking[stream] = plane
        return stream

    def _meet(self, rule: Rule, key: str) -> None:
        bucket_id = rule.bucket(key)
        self.watches.know(rule, bucket_id)
        self.store.names[bucket_id] = BucketName(bucket_id, rule.name, rule.generation, 0, rule.values(key))

    def _excuse(self) -> None:
        for node in self.nodes:
            if node.plane is not None and node.is_alive:
                node.plane.excuse()
        self.timeline.after(SECOND_US // 2, self._excuse)

    def _clocks(self) -> Clocks:
        drift_ppm = self.chance.randint(-self.plan.drift_ppm, self.plan.drift_ppm)
        return Clocks(self.timeline, ORIGIN_US // 1000, drift_ppm)

    def _call_later(self, node: Node) -> None:
        mean_us = 1_000_000 // self.plan.load.calls_per_s
        self.timeline.after(self.chance.randint(0, 2 * mean_us), lambda: self._call(node))

    def _call(self, node: Node) -> None:
        if self.timeline.now_us >= self.plan.loaded_us:
            return
        if node.plane is not None and node.takes_calls:
            call = make_call(next(self._calls), self.plan.load, self.chance)
            plane = node.plane
            plane.process.run(lambda: plane.offer(call))
        self._call_later(node)
