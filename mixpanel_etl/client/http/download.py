"""Files behind links that Mixpanel hands out: fetched without our credentials, from where they may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy

import requests

from mixpanel_etl.client.errors import MixpanelError, ReplyError, located
from mixpanel_etl.client.http import error_mapping as failures
from mixpanel_etl.client.http.addresses import Destinations, PublicAdapter
from mixpanel_etl.client.http.connection import watched
from mixpanel_etl.client.http.credentials import NoCredentials
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.transport import Transport

MAX_REDIRECTS = 5
ENDPOINT = "GET the retrieved data"


@contextmanager
def download(transport: Transport, link: str) -> Iterator[Response]:
    """Stream what a link leads to. It may be signed, which makes it a secret: no message shows it.

    Redirects are followed as far as they stay on https and on public addresses; the host of `base_url` may be private,
    and this machine when `base_url` is on it. No credentials, no `.netrc` and no cookies go with any of the requests.

    Raises:
        InvalidRequest: the link, or a redirect, leads to a private address or is not https.
        MixpanelError: one of the kinds in `client.errors`.
    """
    destinations = Destinations(transport.settings)
    # Not the transport's session: where the link leads is not Mixpanel.
    with requests.Session() as session:
        session.trust_env = transport.session.trust_env
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            session.mount(scheme, PublicAdapter(destinations))
        with located(ENDPOINT, transport.settings.prefix):
            response, scrub = _follow(transport, session, destinations, link)
        try:
            with located(ENDPOINT, transport.settings.prefix):
                if error := failures.error_of(response, scrub, reads=True):
                    raise error
            response.watch.pace(transport.settings.export_min_rate)
            yield response
        finally:
            response.close()


def _follow(
    transport: Transport, session: requests.Session, destinations: Destinations, link: str
) -> tuple[Response, failures.Scrubber]:
    """The response after all redirects, and what keeps the URLs on the way there out of messages."""
    secrets: list[str] = []
    watch = transport.watch()
    failure: MixpanelError
    for _ in range(MAX_REDIRECTS + 1):
        parts = destinations.check(link)
        secrets += [text for text in (link, parts.path, parts.query) if len(text) > 1]
        scrub = transport.scrubber(*secrets)
        try:
            with watched(watch):
                answer = session.get(
                    link,
                    headers={"Accept-Encoding": "gzip"},
                    auth=NoCredentials(),
                    timeout=transport.timeouts,
                    stream=True,
                    allow_redirects=False,
                )
        except MixpanelError:
            raise
        except ValueError:  # `requests` looks at a redirect that it is not to follow, too
            failure = destinations.refusal_of_url()
            break
        except requests.RequestException as error:
            failure = failures.connection_error(error, watch, scrub=scrub)
            break
        location = session.get_redirect_target(answer)
        if location is None:
            response = Response(
                answer,
                endpoint=ENDPOINT,
                prefix=transport.settings.prefix,
                requested_at=transport.now(),
                on_close=lambda: None,
                watch=watch,
            )
            return response, scrub
        answer.close()
        link = destinations.redirected(link, location)
    else:
        failure = ReplyError(f"the link redirects more than {MAX_REDIRECTS} times")
    raise failure  # out here: the original names the link
