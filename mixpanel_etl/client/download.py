"""Files behind links that Mixpanel hands out: fetched without our credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests

from mixpanel_etl.client import failures
from mixpanel_etl.client.connection import StrictAdapter, watched
from mixpanel_etl.client.credentials import Nobody
from mixpanel_etl.client.errors import InvalidRequest, MixpanelError
from mixpanel_etl.client.response import Response
from mixpanel_etl.client.transport import Transport
from mixpanel_etl.settings import is_loopback


@contextmanager
def download(transport: Transport, link: str, endpoint: str) -> Iterator[Response]:
    """Stream what a link leads to. It may be signed, which makes it a secret: no message shows it.

    Raises:
        InvalidRequest: it is no https URL (http is for loopback hosts).
        MixpanelError: one of the kinds in `client.errors`.
    """
    parts = urlsplit(link)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise InvalidRequest("the link is no https URL", endpoint=endpoint, advice="Give the link of a finished job.")
    scrub = transport.scrubber(link, parts.path, parts.query)
    response = _fetch(transport, link, endpoint, scrub)
    try:
        error = failures.error_of(response, scrub, reads=True)
        if error is not None:
            raise error
        yield response
    finally:
        response.close()


def _fetch(transport: Transport, link: str, endpoint: str, scrub: failures.Scrubber) -> Response:
    watch = transport.watch()
    failure: MixpanelError
    try:
        # Not the transport's session: where the link leads is not Mixpanel, and may redirect as it likes.
        with requests.Session() as session, watched(watch):
            session.mount("https://", StrictAdapter())
            session.mount("http://", StrictAdapter())
            answer = session.get(
                link, headers={"Accept-Encoding": "gzip"}, auth=Nobody(), timeout=transport.timeouts, stream=True
            )
    except requests.RequestException as error:
        failure = failures.connection_error(error, watch, endpoint=endpoint, scrub=scrub)
    else:
        watch.pace(transport.settings.export_min_rate)
        return Response(answer, endpoint=endpoint, requested_at=transport.now(), on_close=lambda: None, watch=watch)
    raise failure
