"""The four kinds of credentials, and which of them a request carries. Source: mixpanel-api.md#credentials."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from requests import PreparedRequest
from requests.auth import AuthBase

from mixpanel_etl.client.errors import WrongCredentialKind
from mixpanel_etl.settings import DEFAULT_PREFIX, Hidden, Settings


@dataclass(frozen=True, kw_only=True)
class Credential(AuthBase):
    """One way to authenticate.

    Being a `requests` authentication, it is called with each request; that also keeps a `.netrc` from answering
    in its place, which `requests` reads only when a request has no authentication of its own.
    """

    secret: str = field(repr=False)

    @property
    def query(self) -> dict[str, str]:
        """Parameters that go with every request."""
        return {}

    def authorization(self) -> str:
        """The `Authorization` header: the secret as user name, with no password, unless a kind says otherwise."""
        return _basic(self.secret, "")

    def secrets(self) -> Iterator[str]:
        """Every form in which the secret could come back in a message."""
        yield self.secret
        yield quote(self.secret, safe="")
        yield self.authorization().partition(" ")[2]

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = Hidden(self.authorization())
        return request


@dataclass(frozen=True, kw_only=True)
class ServiceAccount(Credential):
    """HTTP Basic with the account's name and secret; the project has to be named in the query."""

    username: str
    project_id: int

    @property
    def query(self) -> dict[str, str]:
        return {"project_id": str(self.project_id)}

    def authorization(self) -> str:
        return _basic(self.username, self.secret)


class ProjectToken(Credential):
    """Names a project to the ingestion APIs: in the body of `/track`, as Basic user name for `/import` and flags."""


class ProjectSecret(Credential):
    """HTTP Basic with the secret as user name. Mixpanel retires it on 2027-03-03."""


class OAuthToken(Credential):
    """Bearer token of a user, for the GDPR API; it expires after a year."""

    def authorization(self) -> str:
        return f"Bearer {self.secret}"


class NoCredentials(AuthBase):
    """Sends no credentials. Without `auth`, `requests` would take some from a `.netrc`."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


# The settings that make each kind, for the message of `choose`.
SETTINGS_OF: dict[type[Credential], tuple[str, ...]] = {
    ServiceAccount: ("service_account_username", "service_account_secret", "project_id"),
    ProjectToken: ("project_token",),
    ProjectSecret: ("project_secret",),
    OAuthToken: ("oauth_token",),
}


def configured(settings: Settings) -> list[Credential]:
    """The credentials that the settings hold."""
    found: list[Credential] = []
    if settings.service_account_username and settings.service_account_secret and settings.project_id:
        found.append(
            ServiceAccount(
                username=settings.service_account_username,
                secret=Hidden(settings.service_account_secret.get_secret_value()),
                project_id=settings.project_id,
            )
        )
    if settings.project_token:
        found.append(ProjectToken(secret=Hidden(settings.project_token.get_secret_value())))
    if settings.project_secret:
        found.append(ProjectSecret(secret=Hidden(settings.project_secret.get_secret_value())))
    if settings.oauth_token:
        found.append(OAuthToken(secret=Hidden(settings.oauth_token.get_secret_value())))
    return found


def choose(accepted: Sequence[type[Credential]], settings: Settings, available: Sequence[Credential]) -> Credential:
    """The first of the `accepted` kinds that is `available`.

    Raises:
        WrongCredentialKind: none is available; names the settings to add.
    """
    for kind in accepted:
        for credential in available:
            if isinstance(credential, kind):
                _warn_if_retired(credential, settings)
                return credential
    wanted = " or ".join(_words(kind) for kind in accepted)
    have = ", ".join(_words(type(credential)) for credential in available) or "none"
    remedy = ", or ".join(_variables(kind, DEFAULT_PREFIX) for kind in accepted)
    raise WrongCredentialKind(f"this API takes a {wanted}; configured: {have}", advice=f"Set {remedy}.")


def _warn_if_retired(credential: Credential, settings: Settings) -> None:
    if isinstance(credential, ProjectSecret):
        warnings.warn(
            "Mixpanel retires project secrets on 2027-03-03: create a service account and set "
            + _variables(ServiceAccount, settings.prefix),
            # Unlike a DeprecationWarning it is shown to all users of the package.
            FutureWarning,
            stacklevel=2,
        )


def _variables(kind: type[Credential], prefix: str) -> str:
    return " and ".join(prefix + name.upper() for name in SETTINGS_OF[kind])


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _words(kind: type[Credential]) -> str:
    return {
        ServiceAccount: "service account",
        ProjectToken: "project token",
        ProjectSecret: "project secret",
        OAuthToken: "OAuth token",
    }[kind]
