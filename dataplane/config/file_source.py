"""Configuration from manifests in files, with no control plane: all of it or nothing, read again when it changes."""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dataplane.config.applier import ConfigApplier
from dataplane.config.documents import (
    ConfigFileError,
    config_file_error,
    manifest_files,
    problem_lines,
    read_documents,
)
from dataplane.config.holder import SnapshotHolder
from dataplane.config.state import ConfigDelta, Cursor
from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.prices_pb2 import Price
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.admin.v1.routes_pb2 import Route
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.config.v1.resources_pb2 import KeyDigest, Resource
from tollway.kernel.keys import is_virtual_key, key_digest
from tollway.kernel.names import bare_id
from tollway.resources.book import build_price_book
from tollway.resources.manifests import ManifestObject, read_closed_set
from tollway.resources.messages import AdminResource
from tollway.resources.project import (
    project_key_pepper,
    project_price,
    project_price_book,
    project_route,
    project_team,
    project_upstream,
    project_virtual_key,
)
from tollway.resources.secret_refs import SecretUnavailable, read_secret
from tollway.resources.violations import Violation

logger = logging.getLogger(__name__)

POLL_S = 1.0
FILE_EPOCH = "file"
_FILE_SCHEME = "file:"

Signature = tuple[tuple[str, int, int, int], ...]
"""Of each file its path, modification time in nanoseconds, size and inode; the last three -1 while it is missing."""


class FileSource:
    """Serves the manifests at `path`, a file or a folder of YAML files.

    Keys need a secret reference, looked up in `environ` or a file, and are hashed under `pepper`, which no one else
    needs to know.
    """

    def __init__(
        self, path: Path, applier: ConfigApplier, holder: SnapshotHolder, environ: Mapping[str, str], pepper: bytes
    ) -> None:
        self._path = path
        self._applier = applier
        self._holder = holder
        self._environ = environ
        self._pepper = pepper
        self._book: Resource | None = None
        self._revision = 0
        self._key_files: frozenset[str] = frozenset()
        self._seen: Signature = ()
        self._is_current = False

    async def load(self) -> None:
        """Puts what the files say in force. Raises ConfigFileError; the last good configuration then stays."""
        self._is_current = False
        upserts = await asyncio.to_thread(self._resources, self._revision + 1)
        delta = ConfigDelta(Cursor(FILE_EPOCH, self._revision + 1), upserts, reset=True)
        rejections = await self._applier.apply_whole(delta)
        if rejections:
            raise config_file_error([f"{rejection.name}: {rejection.reason}" for rejection in rejections])
        self._revision += 1
        self._is_current = True

    async def run(self) -> None:
        """Loads again whenever a file changes, until cancelled; a bad change is logged and not served."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Loads again if a file has changed."""
        if await asyncio.to_thread(self._signature) == self._seen:
            if self._is_current:
                self._holder.confirm()
            return
        try:
            await self.load()
        except ConfigFileError as error:
            logger.error("configuration file is bad, the last good one stays in force: %s", error)
        else:
            logger.info("configuration file loaded revision=%d", self._revision)

    def _signature(self) -> Signature:
        try:
            files = [str(file) for file in manifest_files(self._path)]
        except ConfigFileError:
            files = [str(self._path)]
        return _signature_of((*files, *sorted(self._key_files)))

    def _resources(self, revision: int) -> dict[str, Resource]:
        # Each file's signature is taken before it is read, so that no change goes unseen.
        self._key_files = frozenset()
        self._seen = self._signature()
        documents = read_documents(manifest_files(self._path))
        objects, violations = read_closed_set([document.content for document in documents])
        violations += _rules_without_quota(objects)
        problems = problem_lines(violations, documents)
        self._key_files = frozenset(_key_files(found.resource for found in objects))
        self._seen = (*self._seen, *_signature_of(sorted(self._key_files)))
        if problems:
            raise config_file_error(problems)
        if self._book is None:
            built = build_price_book()
            self._book = project_price_book(built.name, built.book, revision)
        resources = [project_key_pepper(self._pepper, revision), self._book]
        for found in objects:
            try:
                projected = self._project(found, revision)
                if projected is not None:
                    resources.append(projected)
            except SecretUnavailable as error:
                problems.append(f"{found.name}: {error}")
        if problems:
            raise config_file_error(problems)
        return {resource.name: resource for resource in resources}

    def _project(self, found: ManifestObject, revision: int) -> Resource | None:
        """The machine form; None of what data planes have no use for.

        Raises SecretUnavailable for a key without a usable secret.
        """
        match found.resource:
            case VirtualKey() as key:
                return project_virtual_key(key, revision, digests=[KeyDigest(digest=self._digest(key))])
            case Team() as team:
                return project_team(team, revision)
            case Upstream() as upstream:
                return project_upstream(upstream, revision)
            case Route() as route:
                return project_route(route, revision)
            case Price() as price:
                return project_price(price, revision)
            case MetadataKey() | RateLimit() | Budget():
                return None

    def _digest(self, key: VirtualKey) -> bytes:
        ref = key.secret.ref
        if not ref:
            raise SecretUnavailable(
                "needs secret.ref, `env:NAME` or `file:/path`: without a control plane none is made"
            )
        secret = read_secret(ref, self._environ)
        if not is_virtual_key(secret):
            raise SecretUnavailable(f"{ref} holds no virtual key: `twk_`, 40 base62 characters and 6 of their checksum")
        return key_digest(self._pepper, secret)


def _rules_without_quota(objects: Iterable[ManifestObject]) -> Iterable[Violation]:
    """A limit that nobody counts would look as if it held."""
    for found in objects:
        if isinstance(found.resource, RateLimit | Budget):
            text = "needs a control plane, which keeps its count; remove it, or serve this configuration from one"
            yield Violation(f"{found.path}.kind", f'{found.kind.name} "{bare_id(found.name)}" {text}')


def _key_files(resources: Iterable[AdminResource]) -> Iterable[str]:
    for resource in resources:
        if isinstance(resource, VirtualKey) and resource.secret.ref.startswith(_FILE_SCHEME):
            yield resource.secret.ref.removeprefix(_FILE_SCHEME)


def _signature_of(files: Iterable[str]) -> Signature:
    return tuple(_file_signature(file) for file in files)


def _file_signature(file: str) -> tuple[str, int, int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return file, -1, -1, -1
    return file, status.st_mtime_ns, status.st_size, status.st_ino
