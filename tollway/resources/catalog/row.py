"""What a row of the provider catalog says: all that is known of a provider stands in its row, and in no other place."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from string import Formatter
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from tollway.resources.catalog.forms import Form

MODEL = "model"
REGION = "region"
ALWAYS = ""
SIGNED = "signed"
DOT_SEGMENTS = frozenset((".", ".."))
"""Models that would change the address that they stand in."""

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")

OPENAI_PATHS: Mapping[str, str] = MappingProxyType(
    {"chat_completions": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What is otherwise in a row for some models, or where an upstream sets an option.

    It holds where `models` matches the whole of the upstream model, where it is set, and `option` has `value`, or any
    at all where that is "". `dialect`, `base_url`, `credentials` and `paths` then take the place of the row's, where
    they say something; all others are added to it. Where `credentials` are had, a secret is not needed.
    """

    models: re.Pattern[str] | None = None
    option: str = ""
    value: str = ""
    dialect: str = ""
    base_url: str = ""
    credentials: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)
    output_limit: Mapping[str, str] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def holds(self, model: str, options: Mapping[str, str]) -> bool:
        """Whether the row is so for `model` of an upstream with `options`."""
        if self.models is not None and not self.models.fullmatch(model):
            return False
        said = options.get(self.option, "") if self.option else ""
        return not self.option or (said == self.value if self.value else bool(said))


@dataclass(frozen=True, slots=True, eq=False)
class ProviderRow:
    """One row of the provider catalog: where a provider is, how it is spoken to and how it wants its credential.

    `paths` maps Endpoint.name to the path below the base URL; an endpoint that is not there is not offered. A stream
    has a path of its own under NAME.stream, where it needs one. In paths and `base_url` stand {model}, the upstream
    model, {region}, and {OPTION} for options of the upstream. `options` are those that there are with their defaults,
    "" where there is none. Without a `base_url` every upstream must give its own; `homes` are then the ones of the
    provider itself, with a domain in place of the host that is below it. `needs_secret` holds for calls to `base_url`,
    or to whatever is below the domains of `homes`. `ends` are what base URLs are copied with that are no `paths`.
    `catalog_id` is the provider's id in the price catalog, "" when it is not in there.

    `forms` are what values must look like, by the names of options, REGION and "secret". `needs` names what must be
    given besides what is given, by the same names, ALWAYS, and SIGNED, which is where requests do not bear the secret
    as it is: `borne` is what secrets look like that they bear. `apart` are two of them that exclude each other.

    `auth` is the header that carries the credential and the text before it. `credentials` names what signs requests
    instead, "" where `auth` does. `traits` are what the dialect must know about this place, and cannot be said here.

    Quirks of places that speak OpenAI's format, by the names of members of a request: `output_limit` bounds the tokens
    of an answer, by Endpoint.name, where it is not "max_tokens"; `drop` are refused there, at the top level, and
    `keep` the one value with which such a member passes all the same; `drop_inside` are those of messages, of their
    parts and calls, and of tools, where `own_domain` is in the base URL; `rename` have another name, `double` have one
    beside their own; `values` have another value, None for none at all. `cases` add to all of this.
    """

    name: str
    dialect: str = "openai"
    paths: Mapping[str, str] = field(default_factory=lambda: OPENAI_PATHS)
    base_url: str = ""
    homes: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    auth: tuple[str, str] = ("authorization", "Bearer ")
    output_limit: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: str = ""
    traits: frozenset[str] = frozenset()
    needs_secret: bool = False
    catalog_id: str = ""
    drop: frozenset[str] = frozenset()
    keep: Mapping[str, Any] = field(default_factory=dict)
    drop_inside: frozenset[str] = frozenset()
    own_domain: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    double: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    borne: Form | None = None
    apart: tuple[tuple[str, str], ...] = ()
    cases: tuple[Case, ...] = ()

    def at(self, model: str, options: Mapping[str, str]) -> "ProviderRow":
        """The row as it is for `model` of an upstream with `options`, in which no case is left open."""
        if not self.cases:
            return self
        return _with_cases(self, tuple(case for case in self.cases if case.holds(model, options)))

    def missing(self, base_url: str, region: str, options: Mapping[str, str]) -> list[str]:
        """Names of what an upstream at `base_url`, "" for the row's own, must still say before it can be called."""
        row = self.at("", options)
        said = {MODEL, *(name for name, value in {**row.options, **options}.items() if value)}
        if region:
            said.add(REGION)
        templates = [base_url or row.base_url, *row.paths.values()]
        return sorted({name for template in templates for name in placeholders(template)} - said)

    def repeated_path(self, base_url: str, options: Mapping[str, str]) -> str:
        """The end of `base_url`, which an upstream gives, that would come again with each path; "" for none.

        It is a whole path, or how all paths begin, as they are for these `options` or for others, or one of `ends`.
        """
        variants = [self.at("", options).paths, *(case.paths for case in self.cases if case.paths)]
        heads = {head for paths in variants for head in _heads(tuple(paths.values()))}
        path = urlsplit(base_url).path.rstrip("/")
        return max(_ends(path, heads), _ends(path, self.ends), self.endpoint_path(path), key=len)

    def endpoint_path(self, path: str) -> str:
        """The end of `path` that is one of the row's own paths, as they are in any case; "" for none."""
        variants = [self.paths, *(case.paths for case in self.cases)]
        return _ends(path, {_bare(each) for paths in variants for each in paths.values()})


def _heads(paths: tuple[str, ...]) -> set[str]:
    """How all of `paths` begin, cut between segments."""
    segments = next(iter(paths), "").split("/")
    heads = ("/".join(segments[:count]) for count in range(2, len(segments)))
    return {head for head in heads if all(path.startswith(f"{head}/") for path in paths)}


def _ends(path: str, templates: Iterable[str]) -> str:
    """The longest end of `path` that one of `templates` stands for; "" for none."""
    found = (_ending(template).search(path) for template in templates)
    return max((match[0] for match in found if match), key=len, default="")


def _bare(path: str) -> str:
    return path.partition("?")[0]


@lru_cache(256)
def _ending(template: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(piece) for piece in _PLACEHOLDER.split(template)) + "$")


@lru_cache(1024)
def placeholders(template: str) -> tuple[str, ...]:
    """Names that stand in braces in `template`, a path or a base URL."""
    try:
        return tuple(name for _, name, _, _ in Formatter().parse(template) if name)
    except ValueError:
        return ()


@lru_cache(256)
def _with_cases(row: ProviderRow, cases: tuple[Case, ...]) -> ProviderRow:
    row = replace(row, cases=())
    for case in cases:
        row = replace(
            row,
            dialect=case.dialect or row.dialect,
            base_url=case.base_url or row.base_url,
            credentials=case.credentials or row.credentials,
            paths=case.paths or row.paths,
            output_limit={**row.output_limit, **case.output_limit},
            traits=row.traits | case.traits,
            drop=row.drop | case.drop,
            rename={**row.rename, **case.rename},
            needs_secret=row.needs_secret and not case.credentials,
            forms={**row.forms, **case.forms},
            needs={**row.needs, **case.needs},
        )
    return row
