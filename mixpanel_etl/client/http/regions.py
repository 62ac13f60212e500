"""Where each API family lives, in each region. Source: mixpanel-api.md#hosts."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mixpanel_etl.settings import Region

Family = Literal["export", "query", "ingestion", "app", "flags", "pipelines"]


class Home(NamedTuple):
    """The hosts of one API family by region, and the path that all its endpoints begin with."""

    us: str
    eu: str
    in_: str
    prefix: str

    def host(self, region: Region) -> str:
        return {"us": self.us, "eu": self.eu, "in": self.in_}[region]


FAMILIES: dict[Family, Home] = {
    "export": Home("data.mixpanel.com", "data-eu.mixpanel.com", "data-in.mixpanel.com", "/api/2.0"),
    "query": Home("mixpanel.com", "eu.mixpanel.com", "in.mixpanel.com", "/api/query"),
    "ingestion": Home("api.mixpanel.com", "api-eu.mixpanel.com", "api-in.mixpanel.com", ""),
    "app": Home("mixpanel.com", "eu.mixpanel.com", "in.mixpanel.com", "/api/app"),
    "flags": Home("api.mixpanel.com", "api-eu.mixpanel.com", "api-in.mixpanel.com", ""),
    "pipelines": Home("data.mixpanel.com", "data-eu.mixpanel.com", "data-in.mixpanel.com", "/api/2.0"),
}


def url_of(family: Family, path: str, *, region: Region, base_url: str | None = None) -> str:
    """The URL of `path` (which begins with a slash) in an API family.

    `base_url` sends every family to that one place instead; the family's path prefix is kept, so that one server
    can tell `/api/query/engage` from `/engage`.
    """
    home = FAMILIES[family]
    return (base_url or f"https://{home.host(region)}") + home.prefix + path
