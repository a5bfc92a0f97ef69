"""Pure: machine forms of rules into what calls are matched by. Both planes match by what is compiled here."""

from collections.abc import Iterable

from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import Match, Names, is_dimension


def compile_match(form: machine.Match) -> Match:
    return Match(
        teams=Names(form.teams),
        users=Names(form.users),
        keys=Names(form.keys),
        models=Names(form.models),
        upstreams=Names(form.upstreams),
        metadata=tuple((pair.key, Names(pair.values)) for pair in form.metadata),
    )


def compile_per(per: Iterable[str]) -> tuple[str, ...]:
    """Raises ValueError for a dimension that this release does not know."""
    for name in per:
        if not is_dimension(name):
            raise ValueError(f'counts apart by "{name}", which this release does not know')
    return tuple(per)
