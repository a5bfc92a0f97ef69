"""`python -m tests.simulation`: exit code 0 when everything holds, 1 when something is violated."""

import argparse
import sys

from tests.simulation.mutations import MUTATIONS, find
from tests.simulation.run import Outcome, run_seed

_SHOWN_CHARACTERS = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.simulation", description="A fleet with limits, in virtual time.")
    parser.add_argument("--seeds", type=int, default=300, metavar="N", help="how many (default: 300)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="S", help="the first seed (default: 0)")
    parser.add_argument("--mutations", action="store_true", help="break the protocol on purpose: each must be found")
    options = parser.parse_args()
    holds = _find_mutations() if options.mutations else _run(range(options.first, options.first + options.seeds))
    sys.exit(0 if holds else 1)


def render(outcome: Outcome) -> str:
    """What is violated, how to see it again, and what happened before."""
    lines = [
        f"seed {outcome.seed}: {outcome.violation}",
        f"again: python -m tests.simulation --seeds 1 --from {outcome.seed}",
        *outcome.trace,
    ]
    return "\n".join(lines)


def _run(seeds: range) -> bool:
    violated: list[int] = []
    admitted = refused = handled = 0
    for seed in seeds:
        outcome = run_seed(seed)
        admitted, refused, handled = admitted + outcome.admitted, refused + outcome.refused, handled + outcome.handled
        if outcome.violation is not None:
            violated.append(seed)
            print(render(outcome), flush=True)
    told = f"VIOLATED in {', '.join(map(str, violated))}" if violated else "everything holds"
    print(f"{len(seeds)} seeds, {admitted} calls admitted, {refused} refused, {handled} happenings: {told}")
    return not violated


def _find_mutations() -> bool:
    found = [_tell(mutation.name, find(mutation)) for mutation in MUTATIONS]
    return all(found)


def _tell(name: str, violation: str) -> bool:
    print(f"{'found' if violation else 'SURVIVED'}: {name}", flush=True)
    if violation:
        print(f"    {violation[:_SHOWN_CHARACTERS]}", flush=True)
    return bool(violation)


if __name__ == "__main__":
    main()
