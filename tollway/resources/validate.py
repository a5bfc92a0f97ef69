"""What a single resource must satisfy on its own, in normal form: every violation at once, with the field's path.

common_fields    what several kinds have
upstreams        places to send to; upstream_places holds what is said of where they are
routes           targets, retries, timeouts
prices           rates, discounts, bands
"""

from collections.abc import Iterator

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.teams_pb2 import Team
from tollway.resources.common_fields import MAX_LIST as MAX_LIST
from tollway.resources.common_fields import MAX_METADATA as MAX_METADATA
from tollway.resources.common_fields import MAX_MODEL as MAX_MODEL
from tollway.resources.common_fields import MAX_VALUE as MAX_VALUE
from tollway.resources.common_fields import METADATA_KEY as METADATA_KEY
from tollway.resources.common_fields import validate_common as validate_common
from tollway.resources.common_fields import validate_models, validate_pairs
from tollway.resources.prices import rate_violations as rate_violations
from tollway.resources.prices import validate_price as validate_price
from tollway.resources.routes import validate_route as validate_route
from tollway.resources.secret_refs import secret_ref_problem
from tollway.resources.upstreams import validate_upstream as validate_upstream
from tollway.resources.violations import Violation


def validate_team(team: Team) -> Iterator[Violation]:
    yield from validate_common(team)


def validate_virtual_key(key: VirtualKey) -> Iterator[Violation]:
    yield from validate_common(key)
    team = key.name.rpartition("/keys/")[0]
    if key.owner != team:
        yield Violation(
            "owner", f'"{key.owner}" cannot own a key of this team; leave it empty for the team itself ({team})'
        )
    if key.HasField("secret"):
        problem = secret_ref_problem(key.secret.ref)
        if problem:
            yield Violation("secret.ref", problem)
    yield from validate_models("allowed_models", key.allowed_models)
    yield from validate_pairs("metadata", key.metadata, METADATA_KEY, MAX_METADATA)


def validate_metadata_key(metadata_key: MetadataKey) -> Iterator[Violation]:
    yield from validate_common(metadata_key)
    if not METADATA_KEY.fullmatch(metadata_key.key):
        yield Violation("key", f"must match {METADATA_KEY.pattern}")
