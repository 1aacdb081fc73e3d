"""TLS: the service's certificate, exchanged while it serves."""

import ssl
from pathlib import Path

import grpc
import structlog

from router.access.settings import TlsSettings
from router.written import written

log = structlog.get_logger("rheostat.access")


class Certificates:
    """The files of a certificate. Raises ValueError where they are not in order when this is made; later ones that are not are reported once.

    gRPC asks before every handshake, in a thread of its own: so a new certificate is the next client's, and no connection is cut.
    """

    def __init__(self, files: TlsSettings) -> None:
        self._files = files
        self._stamp = self._stamps()
        self._now = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """For the server's port. With `client_ca`, a client without a certificate of its does not get in."""
        return grpc.dynamic_ssl_server_credentials(self._now, self._fresh, self._files.client_ca is not None)  # type: ignore[arg-type]

    def _fresh(self) -> grpc.ServerCertificateConfiguration | None:
        """What to serve from now on; None for what is served."""
        try:
            if (stamp := self._stamps()) == self._stamp:
                return None
            self._stamp = stamp
            self._now = self._read()
        except ValueError as error:
            log.error("certificate_refused", error=str(error))
            return None
        log.info("certificate_reloaded", file=str(self._files.certificate))
        return self._now

    def _paths(self) -> list[Path]:
        return [path for path in (self._files.certificate, self._files.key, self._files.client_ca) if path]

    def _stamps(self) -> tuple[int, ...]:
        """When each was written; 0 for one that is missing just now."""
        return tuple(map(written, self._paths()))

    def _read(self) -> grpc.ServerCertificateConfiguration:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._files.certificate, self._files.key)  # only to see whether they belong together
            if self._files.client_ca:
                context.load_verify_locations(self._files.client_ca)
            certificate, key, *roots = (path.read_bytes() for path in self._paths())
        except OSError as error:  # what ssl raises too
            raise ValueError(f"server.tls: {', '.join(map(str, self._paths()))}: {error}") from error
        return grpc.ssl_server_certificate_configuration([(key, certificate)], roots[0] if roots else None)
