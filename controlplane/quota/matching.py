"""The kernel's matching, made of rules in machine form. Pure."""

from tollway.config.v1 import resources_pb2 as pb
from tollway.kernel.rules import Match, Names


def match_of(match: pb.Match) -> Match:
    """What admits the calls that `match` is about."""
    return Match(
        teams=Names(match.teams),
        users=Names(match.users),
        keys=Names(match.keys),
        models=Names(match.models),
        upstreams=Names(match.upstreams),
        metadata=tuple((pair.key, Names(pair.values)) for pair in match.metadata),
    )
