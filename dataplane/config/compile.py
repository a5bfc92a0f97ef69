"""Pure: configuration changes into the next compiled state.

A resource that does not compile is rejected alone. Of a key, an upstream, a price and a rule the last compiled form
then stays in force; of a route the last form that compiled, as long as the upstreams that it names are in force: what
was removed gets no call. A rejected form is tried again with every change, so that order within and between changes
does not matter. Only the indexes of kinds that changed are copied; the others are shared with the state before.
"""

from dataclasses import replace

from dataplane.config.change import Change, Forms, spell_out
from dataplane.config.forms import KeyCompiler
from dataplane.config.linking import apply_routes, apply_upstream_secrets, apply_upstreams
from dataplane.config.rules import apply_rules
from dataplane.config.state import CompiledState, ConfigDelta, Rejected
from dataplane.snapshot import KeyEntry
from tollway.resources.pricing import compile_book, compile_price, make_index


def apply(state: CompiledState, delta: ConfigDelta) -> CompiledState:
    """The state after `delta`; what it refused stands in `rejected` until a change mends it."""
    if delta.reset and delta.cursor.epoch != state.snapshot.epoch:
        state = CompiledState(ref_secrets=state.ref_secrets)
    change = spell_out(state, delta)
    unknown = change.of_kind("").items()
    rejected = {name: Rejected(form, "is of a kind that this release does not know") for name, form in unknown}
    if delta.ref_secrets:
        state = replace(state, ref_secrets={**state.ref_secrets, **delta.ref_secrets})
    upstreams_before = state.upstreams_in_force
    state = _apply_keys(state, change, rejected)
    state = apply_upstream_secrets(state, change)
    state = apply_upstreams(state, change, rejected)
    state = apply_routes(state, change, upstreams_before, rejected)
    state = _apply_prices(state, change, rejected)
    state = apply_rules(state, change, rejected)
    snapshot = replace(
        state.snapshot,
        epoch=delta.cursor.epoch,
        revision=delta.cursor.revision,
        pepper=_pepper(change, state.snapshot.pepper),
    )
    return replace(state, snapshot=snapshot, rejected=rejected)


def _pepper(change: Change, before: bytes) -> bytes:
    for form in change.of_kind("key_pepper").values():
        return form.key_pepper.pepper
    return before


def _apply_keys(state: CompiledState, change: Change, rejected: dict[str, Rejected]) -> CompiledState:
    forms = change.of_kind("virtual_key")
    gone = change.removals & state.keys.keys()
    if not forms and not gone:
        return state
    keys, entries = dict(state.keys), dict(state.snapshot.keys)
    for name in gone:
        _drop_digests(entries, keys.pop(name))
    compiler = KeyCompiler()
    waiting = forms
    while waiting:
        taken = _add_keys(compiler, waiting, keys, entries, rejected)
        if len(taken) == len(waiting):
            rejected |= {name: Rejected(form, "has a digest that another key has") for name, form in taken.items()}
            break
        waiting = taken
    return replace(state, keys=keys, snapshot=replace(state.snapshot, keys=entries))


def _add_keys(
    compiler: KeyCompiler,
    forms: Forms,
    keys: dict[str, tuple[bytes, ...]],
    entries: dict[bytes, KeyEntry],
    rejected: dict[str, Rejected],
) -> Forms:
    """Puts keys into the indexes; those that have a digest which another key holds are given back."""
    taken = {}
    for name, form in forms.items():
        try:
            compiled = compiler.compile(form)
        except ValueError as error:
            rejected[name] = Rejected(form, str(error))
            continue
        if any(digest in entries and entries[digest].key.name != name for digest, _ in compiled):
            taken[name] = form
            continue
        _drop_digests(entries, keys.get(name, ()))
        keys[name] = tuple(digest for digest, _ in compiled)
        entries.update(compiled)
    return taken


def _drop_digests(entries: dict[bytes, KeyEntry], digests: tuple[bytes, ...]) -> None:
    for digest in digests:
        entries.pop(digest, None)


def _apply_prices(state: CompiledState, change: Change, rejected: dict[str, Rejected]) -> CompiledState:
    own, versions = change.of_kind("price"), change.of_kind("price_book")
    gone = change.removals & (state.prices.keys() | state.books.keys())
    if not own and not versions and not gone:
        return state
    prices = {name: price for name, price in state.prices.items() if name not in gone}
    for name, form in own.items():
        try:
            prices[name] = compile_price(form)
        except ValueError as error:
            rejected[name] = Rejected(form, str(error))
    books = {name: book for name, book in state.books.items() if name not in gone}
    for name, form in versions.items():
        books[name], problems = compile_book(form)
        if problems:
            rejected[name] = Rejected(form, problems)
    snapshot = replace(state.snapshot, prices=make_index(prices, books))
    return replace(state, prices=prices, books=books, snapshot=snapshot)
