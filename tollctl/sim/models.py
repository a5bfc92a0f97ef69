"""The models, whose names say what they do."""

import enum
import re
from dataclasses import dataclass
from functools import lru_cache

from tollctl.sim.errors import SimError

LISTED_MODELS = (
    "echo",
    "lorem-20",
    "slow-500",
    "stream-50",
    "flaky-20",
    "status-429",
    "cutoff-5",
    "tools",
    "json",
    "embed",
)


class Behaviour(enum.Enum):
    ECHO = "echo"
    LOREM = "lorem"
    SLOW = "slow"
    STREAM = "stream"
    FLAKY = "flaky"
    STATUS = "status"
    CUTOFF = "cutoff"
    TOOLS = "tools"
    JSON = "json"
    EMBED = "embed"
    NOUSAGE = "nousage"
    MALFORMED = "malformed"
    DRIP = "drip"
    LINGER = "linger"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class Model:
    """`amount` is the number in the name: words, milliseconds, words per second, percent, a status, chunks or bytes."""

    name: str
    behaviour: Behaviour
    amount: int = 0

    @property
    def reports_usage(self) -> bool:
        """Whether it tells the tokens where it is asked for them."""
        return self.behaviour is not Behaviour.NOUSAGE


_RANGES = {
    Behaviour.LOREM: range(100_001),
    Behaviour.SLOW: range(600_001),
    Behaviour.STREAM: range(1, 100_001),
    Behaviour.FLAKY: range(101),
    Behaviour.STATUS: range(400, 600),
    Behaviour.CUTOFF: range(100_001),
    Behaviour.NOUSAGE: range(100_001),
    Behaviour.MALFORMED: range(100_001),
    Behaviour.DRIP: range(1, 100_001),
    Behaviour.LINGER: range(1, 100_001),
    Behaviour.LIMITED: range(101),
}
_STRIDE = 61
_NAME = re.compile(r"([a-z]+)(?:-([0-9]{1,6}))?", re.ASCII)


@lru_cache(maxsize=256)
def parse_model(name: str) -> Model:
    """Raises SimError 404 for a name that is no model's."""
    match = _NAME.fullmatch(name)
    if match is not None:
        word, number = match.groups()
        behaviour = next((one for one in Behaviour if one.value == word), None)
        if behaviour is not None and _fits(behaviour, number):
            return Model(name, behaviour, int(number or 0))
    raise SimError(
        404,
        f"The model `{name[:100]}` does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )


def is_failing_call(model: Model, call_number: int) -> bool:
    """Whether the call with this number fails: exactly amount of each hundred, and not in runs.

    Those are `flaky-PCT` and `limited-PCT`. Calls of one hundred are spread by a stride near the golden section, each
    hundred from a place of its own that a seeded hash chooses.
    """
    hundred, place = divmod(call_number, 100)
    return (place * _STRIDE + _scramble(hundred)) % 100 < model.amount


def _fits(behaviour: Behaviour, number: str | None) -> bool:
    allowed = _RANGES.get(behaviour)
    if allowed is None or number is None:
        return allowed is None and number is None
    return int(number) in allowed


def _scramble(number: int) -> int:
    """SplitMix64's finaliser over a seeded counter."""
    mask = 0xFFFFFFFFFFFFFFFF
    mixed = (0x746F6C6C776179 + number * 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)
