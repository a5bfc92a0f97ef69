"""TLS of the listeners from files, read again when they change, so that renewed certificates need no restart."""

import asyncio
import logging
import ssl

import grpc

from tollway.settings import TlsFiles

POLL_S = 5.0
_log = logging.getLogger("tollway.tls")
_Stamp = tuple[tuple[int, int, int], ...]


class TlsError(Exception):
    """The files make no usable certificate; the text says which, and shows nothing of their content."""


class Certificates:
    """The certificate of both listeners. With a CA, gRPC clients must show a certificate that it signed."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError when the files cannot be used."""
        self._files = files
        self._stamp = self._read_stamp()
        self.rest_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.rest_context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load()
        self._grpc = self._grpc_configuration()
        # Handshakes ask for it in threads of gRPC's own; None says that nothing has changed.
        self._grpc_changed: grpc.ServerCertificateConfiguration | None = None

    def grpc_credentials(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(
            self._grpc,
            self._take_changed,  # type: ignore[arg-type]
            require_client_authentication=self._files.ca is not None,
        )

    async def watch(self, poll_s: float = POLL_S) -> None:
        """Takes over changed files for ever; files that cannot be used leave the last good certificate in force."""
        while True:
            await asyncio.sleep(poll_s)
            self.reload_if_changed()

    def reload_if_changed(self) -> bool:
        """Whether new files came into force."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._load()
            self._grpc_changed = self._grpc_configuration()
        except TlsError as error:
            _log.error("changed certificate not taken over: %s", error)
            return False
        _log.info("changed certificate taken over")
        return True

    def _take_changed(self) -> grpc.ServerCertificateConfiguration | None:
        changed, self._grpc_changed = self._grpc_changed, None
        return changed

    def _load(self) -> None:
        # A pair that does not match must be refused before the context in use is touched.
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.rest_context):
            try:
                context.load_cert_chain(self._files.cert, self._files.key, password=_refuse_password)
            except (OSError, ssl.SSLError) as error:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
                raise TlsError(
                    f"{self._files.cert} and {self._files.key} are no certificate and its key: {reason}"
                ) from error

    def _grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        ca = self._files.ca
        try:
            pair = (self._files.key.read_bytes(), self._files.cert.read_bytes())
            roots = None if ca is None else ca.read_bytes()
        except OSError as error:
            raise TlsError(f"{error.filename}: {error.strerror}") from error
        if roots is not None:
            _check_roots(str(ca), roots)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def _read_stamp(self) -> _Stamp:
        files = [path for path in (self._files.cert, self._files.key, self._files.ca) if path is not None]
        stamps = []
        for path in files:
            try:
                found = path.stat()
            except OSError:
                return ()
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)


def _refuse_password() -> str:
    raise OSError(0, "the key is encrypted with a password; give one that is not")


def _check_roots(name: str, roots: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise TlsError(f"{name} holds no PEM certificates") from error
