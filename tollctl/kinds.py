"""What `get`, `delete` and `export` know: a row per kind, with its names, its place in the API and its table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollctl.columns import (
    Column,
    bare,
    each,
    flag,
    fullest,
    limits,
    matched,
    percent,
    rates,
    secret,
    short_key,
    since,
    targets,
    text,
    within,
)
from tollway.kernel.names import bare_id, is_resource_id


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that the control plane shows.

    manifest: the kind's name in manifests; "" where it has none.
    spellings: what people may type, singular and plural first.
    collection: the plural in names and paths.
    field: the list's name in a page.
    columns: the table.
    has_item: whether one can be read by its name.
    is_endless: whether there may be any number of them, so that a list shows the newest only.
    """

    manifest: str
    spellings: tuple[str, ...]
    collection: str
    field: str
    columns: Sequence[Column]
    has_item: bool = True
    is_endless: bool = False

    @property
    def singular(self) -> str:
        return self.spellings[0]

    @property
    def is_in_team(self) -> bool:
        return self.collection == "keys"

    def name_of(self, given: str, team: str | None = None) -> str:
        """The full name of what was typed as an id or a full name, for keys also as TEAM/KEY. Raises ValueError."""
        if self.is_in_team:
            return self._key_name(given, team)
        resource_id = given.removeprefix(f"{self.collection}/")
        if not is_resource_id(resource_id):
            raise ValueError(f"{given!r} is no name of a {self.singular}: write {self.collection}/ID or ID")
        return f"{self.collection}/{resource_id}"

    def _key_name(self, given: str, team: str | None) -> str:
        parts = given.removeprefix("teams/").replace("/keys/", "/").split("/")
        owner = None if team is None else team.removeprefix("teams/")
        if len(parts) == 1 and owner is not None:
            parts = [owner, *parts]
        if len(parts) != 2 or not all(is_resource_id(part) for part in parts):
            raise ValueError(f"{given!r} is no name of a key: write TEAM/KEY, or KEY with --team")
        if owner not in (None, parts[0]):
            raise ValueError(f"{given!r} is no key of team {owner}")
        return f"teams/{parts[0]}/keys/{parts[1]}"


TEAM = Kind(
    manifest="Team",
    spellings=("team", "teams"),
    collection="teams",
    field="teams",
    columns=(
        Column("NAME", bare("name")),
        Column("DISPLAY NAME", text("display_name")),
        Column("LABELS", each("labels")),
        Column("AGE", since("create_time")),
    ),
)
UPSTREAM = Kind(
    manifest="Upstream",
    spellings=("upstream", "upstreams", "up"),
    collection="upstreams",
    field="upstreams",
    columns=(
        Column("NAME", bare("name")),
        Column("PROVIDER", text("provider")),
        Column("BASE URL", text("base_url")),
        Column("SECRET", secret),
        Column("MODELS", each("models")),
        Column("AGE", since("create_time")),
    ),
)
ROUTE = Kind(
    manifest="Route",
    spellings=("route", "routes"),
    collection="routes",
    field="routes",
    columns=(
        Column("NAME", bare("name")),
        Column("MODEL", text("model")),
        Column("STRATEGY", text("strategy")),
        Column("TARGETS", targets),
        Column("AGE", since("create_time")),
    ),
)
PRICE = Kind(
    manifest="Price",
    spellings=("price", "prices"),
    collection="prices",
    field="prices",
    columns=(
        Column("NAME", bare("name")),
        Column("PROVIDER", text("provider")),
        Column("MODEL", text("model")),
        Column("USD PER MILLION", rates),
        Column("EFFECTIVE FROM", text("effective_from")),
    ),
)
METADATA_KEY = Kind(
    manifest="MetadataKey",
    spellings=("metadatakey", "metadatakeys"),
    collection="metadataKeys",
    field="metadata_keys",
    columns=(
        Column("NAME", bare("name")),
        Column("KEY", text("key")),
        Column("SINCE", text("since")),
        Column("AGE", since("create_time")),
    ),
)
RATE_LIMIT = Kind(
    manifest="RateLimit",
    spellings=("ratelimit", "ratelimits", "rl"),
    collection="rateLimits",
    field="rate_limits",
    columns=(
        Column("NAME", bare("name")),
        Column("LIMITS", limits),
        Column("PER", each("per")),
        Column("MATCH", matched),
        Column("MODE", text("mode")),
        Column("AGE", since("create_time")),
    ),
)
BUDGET = Kind(
    manifest="Budget",
    spellings=("budget", "budgets"),
    collection="budgets",
    field="budgets",
    columns=(
        Column("NAME", bare("name")),
        Column("AMOUNT USD", text("amount_usd")),
        Column("PERIOD", text("period")),
        Column("PER", each("per")),
        Column("FULLEST", fullest),
        Column("SPENT USD", within("status", "spent_usd")),
        Column("RESERVED USD", within("status", "reserved_usd")),
        Column("REMAINING USD", within("status", "remaining_usd")),
        Column("RESETS", within("status", "reset_time")),
        Column("MODE", text("mode")),
    ),
)
VIRTUAL_KEY = Kind(
    manifest="VirtualKey",
    spellings=("key", "keys", "virtualkey", "virtualkeys", "vk"),
    collection="keys",
    field="keys",
    columns=(
        Column("NAME", short_key),
        Column("STATE", text("state")),
        Column("PREFIX", text("prefix")),
        Column("ALLOWED MODELS", each("allowed_models")),
        Column("EXPIRES", since("expire_time")),
        Column("AGE", since("create_time")),
    ),
)
DATA_PLANE = Kind(
    manifest="",
    spellings=("dataplane", "dataplanes", "dp", "fleet"),
    collection="dataplanes",
    field="data_planes",
    columns=(
        Column("NAME", bare("name")),
        Column("CONNECTED", flag("connected")),
        Column("REVISION", text("revision")),
        Column("LAG", text("lag")),
        Column("REJECTED", each("rejections", "name")),
        Column("LAST SEEN", since("last_seen_time")),
        Column("BUILD", text("build")),
    ),
    has_item=False,
)
AUDIT_EVENT = Kind(
    manifest="",
    spellings=("auditevent", "auditevents", "audit"),
    collection="auditEvents",
    field="audit_events",
    columns=(
        Column("TIME", text("time")),
        Column("PRINCIPAL", text("principal")),
        Column("METHOD", bare("method")),
        Column("RESOURCE", text("resource")),
        Column("REVISION", text("revision")),
    ),
    has_item=False,
    is_endless=True,
)
USAGE_RECORD = Kind(
    manifest="",
    spellings=("usagerecord", "usagerecords", "record", "records"),
    collection="usageRecords",
    field="usage_records",
    columns=(
        Column("TIME", text("start_time")),
        Column("REQUEST", text("request_id")),
        Column("TEAM", bare("team")),
        Column("KEY", bare("key")),
        Column("MODEL", text("model")),
        Column("STATUS", text("status")),
        Column("ATTEMPTS", lambda item: str(len(item.get("attempts") or ()))),
        Column("INPUT", text("input_tokens")),
        Column("OUTPUT", text("output_tokens")),
        Column("COST USD", text("cost_usd")),
    ),
    is_endless=True,
)
BUDGET_ALERT = Kind(
    manifest="",
    spellings=("budgetalert", "budgetalerts", "alert", "alerts"),
    collection="budgetAlerts",
    field="budget_alerts",
    columns=(
        Column("TIME", text("create_time")),
        Column("BUDGET", bare("budget")),
        Column("GROUP", each("group")),
        Column("THRESHOLD", percent("threshold_percent")),
        Column("SPENT USD", text("spent_usd")),
        Column("OF USD", text("amount_usd")),
        Column("STATE", text("state")),
        Column("ATTEMPTS", text("attempts")),
        Column("NEXT", since("next_attempt_time")),
        Column("REASON", text("reason")),
        Column("ID", bare("name")),
    ),
    is_endless=True,
)

KINDS = (
    TEAM,
    UPSTREAM,
    ROUTE,
    PRICE,
    METADATA_KEY,
    VIRTUAL_KEY,
    RATE_LIMIT,
    BUDGET,
    DATA_PLANE,
    AUDIT_EVENT,
    USAGE_RECORD,
    BUDGET_ALERT,
)
CONFIG_KINDS = (TEAM, UPSTREAM, ROUTE, PRICE, METADATA_KEY, VIRTUAL_KEY, RATE_LIMIT, BUDGET)
"""The kinds that manifests hold, each after those that it refers to."""


def find_kind(given: str, kinds: Sequence[Kind] = KINDS) -> Kind:
    """The kind that people call so, in any case. Raises ValueError that lists the kinds."""
    said = given.lower().replace("-", "").replace("_", "")
    for kind in kinds:
        if said in kind.spellings:
            return kind
    raise ValueError(f"{given!r} is not a kind: choose from {', '.join(kind.spellings[1] for kind in kinds)}")


def name_in_manifest(content: Mapping[str, Any]) -> tuple[Kind, str]:
    """The kind and the full name that a manifest is about. Raises ValueError."""
    said = content.get("kind")
    kind = next((kind for kind in CONFIG_KINDS if kind.manifest == said), None)
    if kind is None:
        raise ValueError(f"{said!r} is not a kind: choose from {', '.join(kind.manifest for kind in CONFIG_KINDS)}")
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        raise ValueError("metadata.name is missing")
    team = metadata.get("team")
    return kind, kind.name_of(metadata["name"], team if isinstance(team, str) else None)


def team_of_key(name: str) -> str:
    """ "growth" of "teams/growth/keys/ci"."""
    return bare_id(name.rpartition("/keys/")[0])
