"""Calls: what callers ask for, what each truly takes, and what gateways believe beforehand."""

import random
from dataclasses import dataclass
from enum import Enum

from tests.simulation.plan import Load
from tests.simulation.rules import Kind

_MILLION = 1_000_000
_FAILED_PPM = 50_000
_LEAVES_PPM = 20_000


class Ending(Enum):
    """How a call ends if nothing happens to its data plane."""

    ANSWERED = "answered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Call:
    """What a call truly takes, and by how much gateways may hold for it: the most it can, and what is expected.

    `leaves_us` is when the client gives up if it still waits for admission; 0 when it does not.
    """

    call_id: int
    key: str
    cost_nano_usd: int
    most_nano_usd: int
    expected_nano_usd: int
    tokens: int
    expected_tokens: int
    lasts_us: int
    leaves_us: int
    ending: Ending

    def need(self, kind: Kind) -> int:
        """What is reserved of a rule of that kind."""
        amounts = {
            Kind.STRICT_BUDGET: self.most_nano_usd,
            Kind.EXPECTED_BUDGET: self.expected_nano_usd,
            Kind.TOKENS: self.expected_tokens,
        }
        return amounts.get(kind, 1)

    def took(self, kind: Kind) -> int:
        """What it has used in the end."""
        if kind.is_budget:
            return self.cost_nano_usd
        return self.tokens if kind is Kind.TOKENS else 1


def make_call(call_id: int, load: Load, chance: random.Random) -> Call:
    ending = Ending.FAILED if chance.randrange(_MILLION) < _FAILED_PPM else Ending.ANSWERED
    most = chance.randint(load.dearest_nano_usd // 10, load.dearest_nano_usd)
    cost = chance.randint(most // 5, most) if ending is Ending.ANSWERED else 0
    tokens = chance.randint(1, load.most_tokens) if ending is Ending.ANSWERED else 0
    return Call(
        call_id=call_id,
        key=f"key-{min(chance.randrange(load.keys), chance.randrange(load.keys))}",
        cost_nano_usd=cost,
        most_nano_usd=most,
        expected_nano_usd=max(1, most * chance.randint(20, 90) // 100),
        tokens=tokens,
        expected_tokens=chance.randint(1, load.most_tokens),
        lasts_us=chance.randint(1_000, load.longest_us),
        leaves_us=chance.randint(1_000, 400_000) if chance.randrange(_MILLION) < _LEAVES_PPM else 0,
        ending=ending,
    )
