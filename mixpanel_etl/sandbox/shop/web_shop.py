"""The small web shop of `generate`: its visitors, its eight events, and their lines.

It is awkward in the ways of real data: strings that are not ASCII, properties whose type changes from row to row,
nulls, lists and objects, `$device:` ids that become user ids during a day, rows without `$insert_id`, late rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import msgspec

VISITORS = 20_000
# Variants of an event's own properties: enough for the compression ratio of real data.
_VARIANTS = 2048
_DAY_MS = 86_400_000
_LATE_ONE_IN = 200
_NO_INSERT_ID_ONE_IN = 500


class Shop:
    """The shop of one seed. Visitors and property variants are made on first use."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._visitors: dict[int, _Visitor] = {}
        self._variants: dict[tuple[int, int], str] = {}

    def line(self, time_ms: int, processing_ms: int, of_day_ms: int, *bits: int) -> bytes:
        """One exported line, which depends on the seed and the 256 random `bits` of the event only."""
        first, second, third, fourth = bits
        visitor = self._visitor((second >> 32) % VISITORS)
        kind = _MIX[third & 63]
        member = of_day_ms >= visitor.signs_in_ms
        insert_id = "" if first % _NO_INSERT_ID_ONE_IN == 0 else f'"$insert_id":"{first:016x}{fourth:016x}",'
        return (
            f'{{"event":"{_KINDS[kind][0]}","properties":{{"time":{time_ms},'
            f'"distinct_id":"{visitor.user_id if member else visitor.device}",{visitor.text},'
            f'"$current_url":"https://shop.example.com/p/{(fourth >> 16) % 4000}{_CAMPAIGNS[fourth & 7]}",{insert_id}'
            f'"$mp_api_endpoint":"api.mixpanel.com","$mp_api_timestamp_ms":{processing_ms - (third >> 6 & 1023)},'
            f'"mp_processing_time_ms":{processing_ms},{visitor.user if member else ""}'
            f'"session_id":"{fourth >> 32:08x}-{second >> 48:04x}",{self._variant(kind, (third >> 16) % _VARIANTS)}}}}}'
        ).encode()

    @staticmethod
    def delay_ms(bits: int, *, again: bool) -> int:
        """Delay of processing: a minute, days for a late row, hours for a row that is sent again."""
        delay = 1000 + bits % 60_000
        if bits >> 20 & 0xFFFF < 65536 // _LATE_ONE_IN:
            delay += _DAY_MS + bits % (4 * _DAY_MS)
        return delay + (3_600_000 + bits % 25_200_000 if again else 0)

    def _visitor(self, number: int) -> _Visitor:
        visitor = self._visitors.get(number)
        if visitor is None:
            visitor = self._visitors[number] = _Visitor.of(Random(f"{self._seed} visitor {number}"))  # noqa: S311
        return visitor

    def _variant(self, kind: int, number: int) -> str:
        text = self._variants.get((kind, number))
        if text is None:
            rng = Random(f"{self._seed} event {kind} {number}")  # noqa: S311 - reproducible, not secret
            text = self._variants[kind, number] = _members(_KINDS[kind][2](rng))
        return text


class _Visitor(NamedTuple):
    """A person at a device, as JSON. `signs_in_ms`: when they sign in every day; beyond a day, never."""

    device: str
    user_id: str
    user: str
    signs_in_ms: int
    text: str

    @classmethod
    def of(cls, rng: Random) -> _Visitor:
        device_id = f"{rng.getrandbits(64):016x}"
        user_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        city, region, country = rng.choice(_CITIES)
        height, width = rng.choice(_SCREENS)
        text = _members(
            {
                "$browser": rng.choice(_BROWSERS),
                "$browser_version": rng.randint(100, 130),
                "$city": city,
                "$region": region,
                "mp_country_code": country,
                "$device_id": device_id,
                "$lib_version": "2.49.0",
                "$os": rng.choice(_SYSTEMS),
                "$screen_height": height,
                "$screen_width": width,
                "mp_lib": "web",
                "$initial_referrer": rng.choice(_REFERRERS),
                "company_id": rng.randint(1, 300),
            }
        )
        signs_in = rng.choice((0, _DAY_MS + 3_600_000, _DAY_MS + 3_600_000, rng.randrange(_DAY_MS)))
        return cls(f"$device:{device_id}", user_id, f'"$user_id":"{user_id}",', signs_in, text)


def _members(properties: dict[str, object]) -> str:
    return msgspec.json.encode(properties).decode()[1:-1]


def _product(rng: Random) -> object:
    number = rng.randint(100, 999)
    return rng.choice((number, number, number, str(number)))


def _amount(rng: Random) -> object:
    return rng.choice((rng.randint(1, 500), round(rng.uniform(1, 500), 2)))


def _words(rng: Random, count: int) -> str:
    return " ".join(rng.choice(_SYLLABLES) + rng.choice(_SYLLABLES) for _ in range(count))


def _page_view(rng: Random) -> dict[str, object]:
    return {
        "page": rng.choice(("/", "/sale", "/account", "/help", "/über-uns")),
        "utm_source": rng.choice(("$none", "google", "newsletter", "instagram")),
        "plan type": rng.choice((None, "free", "basic", "premium")),
        "is_member": rng.random() < 0.4,
        "load_ms": rng.choice((rng.randint(80, 4000), rng.uniform(80, 4000))),
    }


def _view_item(rng: Random) -> dict[str, object]:
    return {
        "product_id": _product(rng),
        "colors": rng.choice(("light", "dark", "custom")),
        "is_member": rng.random() < 0.4,
        "price": _amount(rng),
        "title": _words(rng, 4),
    }


def _add_to_cart(rng: Random) -> dict[str, object]:
    return {"product_id": _product(rng), "amount": _amount(rng), "qty": rng.randint(1, 5), "currency": "€"}


def _checkout(rng: Random) -> dict[str, object]:
    city, region, country = rng.choice(_CITIES)
    cart = [{"product_id": _product(rng), "price": _amount(rng)} for _ in range(rng.randint(1, 4))]
    shipping = {"method": rng.choice(("standard", "express")), "city": city, "region": region, "country": country}
    return {"amount": _amount(rng), "currency": rng.choice(("USD", "EUR", "JPY")), "cart": cart, "shipping": shipping}


def _watch_video(rng: Random) -> dict[str, object]:
    return {
        "category": rng.choice(("educational", "music", "sports", "食べ物")),
        "hashTags": [f"#{_words(rng, 1)}" for _ in range(rng.randint(0, 5))],
        "watchTimeSec": rng.randint(1, 900),
        "quality": rng.choice(("720p", "1080p", "2160p")),
        "uploader_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    }


def _save_item(rng: Random) -> dict[str, object]:
    return {"product_id": _product(rng), "list": rng.choice(("wishlist", "später", "🎁 gifts")), "note": _words(rng, 6)}


def _sign_up(rng: Random) -> dict[str, object]:
    return {
        "plan": rng.choice(("free", "basic", "premium")),
        "dateOfRenewal": f"20{rng.randint(24, 29)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "codewords": "-".join(rng.choice(_SYLLABLES) for _ in range(3)),
        "is_member": rng.choice((True, False, "yes")),
        "plan type": None,
    }


def _support_ticket(rng: Random) -> dict[str, object]:
    return {
        "severity": rng.choice(("low", "medium", "high", 1, 2, 3)),
        "description": _words(rng, rng.randint(5, 15)) + rng.choice((".", "!", " \u2028 ¿no?", ' "quoted"\n')),
        "ticket_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    }


# Name, share in 64ths, own properties.
_KINDS: tuple[tuple[str, int, Callable[[Random], dict[str, object]]], ...] = (
    ("page view", 18, _page_view),
    ("view item", 12, _view_item),
    ("watch video", 11, _watch_video),
    ("save item", 8, _save_item),
    ("add to cart", 6, _add_to_cart),
    ("checkout", 3, _checkout),
    ("support ticket", 3, _support_ticket),
    ("sign up", 3, _sign_up),
)
_MIX = [kind for kind, (_, share, _) in enumerate(_KINDS) for _ in range(share)]

_CAMPAIGNS = ("", "", "", "", "", "?utm_source=newsletter", "?utm_source=google&gclid=EAIaIQobChMI", "#reviews")
_BROWSERS = ("Chrome", "Safari", "Firefox", "Edge", "Opera", "Brave", "Vivaldi")
_SYSTEMS = ("Windows", "macOS", "Linux", "iOS", "Android")
_SCREENS = ((1080, 1920), (720, 1280), (900, 1440), (844, 390), (768, 1024))
_REFERRERS = ("$direct", "https://www.google.com/", "https://duckduckgo.com/", "https://example.org/")
_SYLLABLES = ("nim", "ble", "orc", "gu", "ard", "mur", "ky", "ke", "ep", "wi", "ld", "in", "bit", "ter", "cro", "wn")
_CITIES = (
    ("São Paulo", "São Paulo", "BR"),
    ("Kraków", "Małopolskie", "PL"),
    ("München", "Bavaria", "DE"),
    ("東京", "東京都", "JP"),
    ("Москва", "Moscow", "RU"),
    ("Mumbai", "Maharashtra", "IN"),
    ("San Francisco", "California", "US"),
    ("A Coruña", "Galicia", "ES"),
    ("القاهرة", "Cairo", "EG"),
)
