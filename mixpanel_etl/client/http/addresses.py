"""Where a link may lead: to public addresses over https, unless the host is the one that is configured.

A link and its redirects come from outside. Followed blindly, they would have this machine fetch what only it can reach:
its own services, its network, the credentials of a cloud (169.254.169.254).
"""

from __future__ import annotations

import http.client
import socket
import unicodedata
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.connection import StrictAdapter
from mixpanel_etl.settings import Settings, is_loopback

_NAT64 = IPv6Network("64:ff9b::/96")


class Destinations:
    """The hosts from which files may be fetched.

    Args:
        settings: settings of the project. `base_url` may be this machine or a private network, as for the sandbox.
    """

    def __init__(self, settings: Settings) -> None:
        self._configured = (urlsplit(settings.base_url).hostname if settings.base_url else None) or ""

    def check(self, url: str) -> SplitResult:
        """The parts of a URL that may be fetched.

        Raises:
            InvalidRequest: it may not be fetched. The message leaves out the URL, which may be a secret.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise self.refusal_of_url() from None
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and self._is_this_machine(host))):
            raise self.refusal_of_url()
        if parts.username is not None or parts.password is not None:
            raise self._refusal("is a URL with a user name")
        written = _written_address(host)
        if written is not None and not self.allows(host, written):
            raise self.refusal_of_address()
        return parts

    def redirected(self, url: str, location: str) -> str:
        """Where a redirect leads.

        Raises:
            InvalidRequest: the location is not a valid URL.
        """
        try:
            return urljoin(url, location)
        except ValueError:
            raise self.refusal_of_url() from None

    def allows(self, host: str, address: str) -> bool:
        """Whether a host may be reached at an address."""
        return is_public(address) or host == self._configured or self._is_this_machine(host)

    def refusal_of_url(self) -> InvalidRequest:
        return self._refusal("is not an https URL")

    def refusal_of_address(self) -> InvalidRequest:
        return self._refusal("leads to a private address")

    def _is_this_machine(self, host: str) -> bool:
        return is_loopback(host) and is_loopback(self._configured)

    def _refusal(self, fault: str) -> InvalidRequest:
        return InvalidRequest(
            f"the link, or a redirect behind it, {fault}; only https URLs of public addresses are followed",
            advice="If the host is yours, set MIXPANEL_BASE_URL to it.",
        )


def is_public(address: str) -> bool:
    """Whether an IP address is public, and so is an address within it (as in ::ffff:127.0.0.1)."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found in _NAT64:
            return is_public(str(IPv4Address(int(found) & 0xFFFFFFFF)))
        hidden = [found.sixtofour, *(found.teredo or ())]
        if found.ipv4_mapped:
            return is_public(str(found.ipv4_mapped))
        if not all(is_public(str(inner)) for inner in hidden if inner):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


class PublicAdapter(StrictAdapter):
    """Connects to allowed addresses only: checks all addresses of a host before, and the one in use after connecting.

    Behind a proxy, the proxy decides about addresses.
    """

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": _checked(pool.ConnectionCls, self._destinations)})
            for scheme, pool in self.poolmanager.pool_classes_by_scheme.items()
        }


def _checked(connection: type[http.client.HTTPConnection], destinations: Destinations) -> type[Any]:
    return type(connection.__name__, (_Checked, connection), {"destinations": destinations})


class _Checked(http.client.HTTPConnection):
    destinations: Destinations

    def _new_conn(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # connecting says what is wrong
            found = []
        self._check(str(address[0]) for *_, address in found)
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        try:
            self._check([str(sock.getpeername()[0])])  # a name can lead elsewhere the second time
        except BaseException:
            sock.close()
            raise
        return sock

    def _check(self, addresses: Any) -> None:
        if not all(self.destinations.allows(self.host, address) for address in addresses):
            raise self.destinations.refusal_of_address()


def _written_address(host: str) -> str | None:
    """The address that a host is written as, be it 127.0.0.1, 127.1, 0x7f000001, 2130706433 or ::1."""
    plain = unicodedata.normalize("NFKC", host)
    if plain.rstrip(".") == "localhost" or plain.rstrip(".").endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(IPv4Address(socket.inet_aton(plain.rstrip("."))))
    except (OSError, ValueError):
        pass
    try:
        return str(ip_address(plain))
    except ValueError:
        return None
