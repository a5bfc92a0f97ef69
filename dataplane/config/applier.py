"""What both sources do with a change: read the secrets that it refers to, compile, and put the result in force."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace

from dataplane.config.compile import apply
from dataplane.config.holder import SnapshotHolder, frozen_heap
from dataplane.config.state import CompiledState, ConfigDelta, Rejection, Unresolved
from dataplane.snapshot import Secret
from tollway.resources.secret_refs import SecretUnavailable, read_secret

logger = logging.getLogger(__name__)

SECRET_REFRESH_S = 60.0
_BIG_CHANGE = 100
_WHOLE_CHANGE = 10_000


class ConfigApplier:
    """Applies changes one after the other. `environ` is where `env:` references are looked up."""

    def __init__(self, holder: SnapshotHolder, environ: Mapping[str, str]) -> None:
        self._holder = holder
        self._environ = environ
        self._one_at_a_time = asyncio.Lock()

    async def apply(self, delta: ConfigDelta) -> None:
        """Puts `delta` in force, but for what does not compile; a big one is compiled beside the event loop."""
        async with self._one_at_a_time:
            before = self._holder.state
            await self._advance(delta, allows_rejections=True)
            known = set(before.rejections)
            for rejection in self._holder.state.rejections:
                if rejection not in known:
                    logger.error("configuration rejected name=%s reason=%s", rejection.name, rejection.reason)

    async def apply_whole(self, delta: ConfigDelta) -> list[Rejection]:
        """Puts `delta` in force if everything in it compiles; else changes nothing and gives what does not."""
        async with self._one_at_a_time:
            return await self._advance(delta, allows_rejections=False)

    async def _advance(self, delta: ConfigDelta, *, allows_rejections: bool) -> list[Rejection]:
        state = self._holder.state
        refs = {form.upstream.secret_ref for form in delta.upserts.values() if form.HasField("upstream")} - {""}
        if refs:
            secrets = await asyncio.to_thread(self._read, refs, state)
            delta = replace(delta, ref_secrets={**delta.ref_secrets, **secrets})
        size = len(delta.upserts) + len(delta.removals) + len(state.rejected)
        is_whole = size > _WHOLE_CHANGE or self._holder.current is None
        with frozen_heap() if is_whole else nullcontext():
            if is_whole or delta.reset or size > _BIG_CHANGE:
                after = await asyncio.to_thread(apply, state, delta)
            else:
                after = apply(state, delta)
            rejections = after.rejections
            if allows_rejections or not rejections:
                self._holder.replace(after)
        return rejections

    async def refresh_secrets(self) -> None:
        """Reads all referenced secrets again and applies those that changed; what cannot be read any more stays."""
        async with self._one_at_a_time:
            state = self._holder.state
            refs = state.secret_refs
            if not refs:
                return
            changed = await asyncio.to_thread(self._read, refs, state)
            if changed:
                await self._advance(ConfigDelta(state.cursor, ref_secrets=changed), allows_rejections=True)
        for ref in changed:
            logger.info("upstream secret changed ref=%s", ref)

    async def keep_secrets_fresh(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(SECRET_REFRESH_S)
            await self.refresh_secrets()

    def _read(self, refs: Iterable[str], state: CompiledState) -> dict[str, Secret | Unresolved]:
        """Those of `refs` that lead to something else than `state` knows; a secret in use outlives its source."""
        changed: dict[str, Secret | Unresolved] = {}
        used = state.secret_refs
        for ref in refs:
            secret = self._resolve(ref)
            before = state.ref_secrets.get(ref) if ref in used else None
            if isinstance(secret, Unresolved) and isinstance(before, Secret):
                logger.warning("upstream secret cannot be read any more, the last one stays in use: %s", secret.reason)
            elif secret != before:
                changed[ref] = secret
        return changed

    def _resolve(self, ref: str) -> Secret | Unresolved:
        try:
            return Secret(read_secret(ref, self._environ))
        except SecretUnavailable as error:
            return Unresolved(str(error))
