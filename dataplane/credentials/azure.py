"""Credentials of Azure: Entra tokens, for upstreams that ask for them."""

from typing import Any, Final

from dataplane.credentials.base import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Cloud,
    Credential,
    CredentialError,
    CredentialSource,
    HeaderCredential,
    Identity,
    causes,
    chain,
    needs_extra,
    quiet,
)

SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_ATTEMPTS: Final = 1


class EntraSource:
    """Tokens of an app registration, or of whatever identity the environment and the machine give."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._found: Any = None

    def acquire(self) -> Credential:
        with needs_extra("azure"):
            import azure.identity  # noqa: F401
        quiet("azure", "msal")
        found, self._found = self._found or self._find(), None
        token = found.get_token(self._identity.option("scope") or SCOPE)
        self._found = found
        return HeaderCredential.bearer(token.token, float(token.expires_on))

    def _find(self) -> Any:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential

        tenant_id, client_id = self._identity.option("tenant_id"), self._identity.option("client_id")
        bounds = {
            "connection_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retry_total": _ATTEMPTS,
        }
        if self._identity.secret:
            return ClientSecretCredential(tenant_id, client_id, self._identity.secret.reveal().strip(), **bounds)
        own = {"managed_identity_client_id": client_id, "workload_identity_client_id": client_id} if client_id else {}
        tenant = {"workload_identity_tenant_id": tenant_id} if tenant_id else {}
        return DefaultAzureCredential(**own, **tenant, **bounds)


def azure_source(identity: Identity) -> CredentialSource:
    """Raises CredentialError for a secret that does not say whose it is."""
    if identity.secret and not (identity.option("tenant_id") and identity.option("client_id")):
        raise CredentialError(
            "has auth=entra and a secret, but no options tenant_id and client_id: give both, or take the secret away",
            is_lasting=True,
        )
    return EntraSource(identity)


def problem_of(error: Exception) -> CredentialError:
    """What an error of the library means."""
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError

    if isinstance(error, ValueError):
        return CredentialError("has a tenant_id or client_id that is malformed", is_lasting=True)
    is_unreachable = any(isinstance(cause, (ServiceRequestError, ServiceResponseError)) for cause in chain(error))
    if isinstance(error, ClientAuthenticationError) and not is_unreachable:
        return CredentialError(
            f"was refused an Entra token, or finds no identity to ask for one with ({causes(error)}): check tenant, "
            "client and what the environment says of them",
            is_lasting=True,
        )
    return CredentialError(f"cannot reach what grants it Entra tokens ({causes(error)})", is_lasting=False)


AZURE: Final = Cloud("azure", ("tenant_id", "client_id", "scope"), azure_source, problem_of)
