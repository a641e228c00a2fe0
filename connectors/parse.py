"""A vendor's values made ours: text, instants, dates, money, ids, addresses; pure functions, no vendor objects.

Every function takes one value that is not None and answers ours; `ValueError` where it makes no sense.
"""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

_LARGEST = 2**63 - 1
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_YEARS = (1900, 2200)
_BOOLEANS = {"true": 1, "1": 1, "yes": 1, "false": 0, "0": 0, "no": 0}
_NO_DIGITS = re.compile("[^0-9]+")
_ASCII_NO_DIGITS = bytes(code for code in range(128) if not 48 <= code <= 57)
_from_iso = datetime.fromisoformat

#: Longer texts are cut to so many characters: a mail body of 10 MB is no use in a cache of numbers.
MAX_TEXT = 100_000


def decode_json(body: bytes) -> Any:
    """A JSON document without what SQLite cannot hold: NUL and lone surrogates are dropped. Raises ValueError.

    Looked for once a page, not once a value: nearly no page has them.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return _clean(json.loads(body))  # lone surrogates, NaN: the strict parser refuses what vendors may send
        except RecursionError:
            raise ValueError("nested too deeply") from None
    # Looking for one byte costs next to nothing, for six of them a fifth of what the parser takes.
    return _clean(document) if b"\\" in body and b"\\u0000" in body else document


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    return value


def text(value: Any) -> str:
    """Text without NUL and lone surrogates."""
    plain = value if isinstance(value, str) else str(value)
    if "\x00" in plain:
        plain = plain.replace("\x00", "")
    return plain if plain.isascii() else plain.encode("utf-8", "ignore").decode("utf-8")


def instant(value: Any) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ` of an ISO instant or of epoch milliseconds; parts of a second are cut."""
    if isinstance(value, str):
        # Both vendors' own form, told apart from others of ISO 8601 (weeks, no colons), whose seconds lie elsewhere.
        if value[4:17:3] == "--T::" and len(value) >= 20:
            if (value[-1] == "Z" or value[-5:] == "+0000") and "1900" <= value < "2200":
                _from_iso(value)
                return value[:19] + "Z"
        elif 9 <= len(value) <= 14 and value.lstrip("-").isdigit():
            return from_ms(value)
        moment = _from_iso(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return format_instant(moment)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return from_ms(value)
    raise ValueError("not an instant")


def instant_or_none(value: Any) -> str | None:
    """Our instant of a vendor's; None where there is none or it makes no sense: one date must not stop a stream."""
    if value is None or value == "":
        return None
    try:
        return instant(value)
    except (ValueError, OverflowError):
        return None


def from_ms(value: Any) -> str:
    """The instant of epoch milliseconds."""
    ms = int(value)
    if not -2_208_988_800_000 <= ms < 7_258_118_400_000:
        raise ValueError("an instant outside 1900-2200")
    return format_instant(datetime.fromtimestamp(ms // 1000, UTC))


def format_instant(moment: datetime) -> str:
    """An aware instant as our UTC text. Raises ValueError outside 1900-2200."""
    utc = moment.astimezone(UTC)
    if not _YEARS[0] <= utc.year < _YEARS[1]:
        raise ValueError("an instant outside 1900-2200")
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def to_datetime(our_instant: str) -> datetime:
    """Aware UTC of one of our instants."""
    return datetime.fromisoformat(our_instant)


def to_ms(our_instant: str) -> int:
    """Epoch milliseconds of one of our instants."""
    return int(datetime.fromisoformat(our_instant).timestamp() * 1000)


def day(value: Any) -> str:
    """`YYYY-MM-DD` of a date or of the date an ISO instant begins with."""
    plain = str(value)[:10]
    if len(plain) != 10 or not plain[4] == plain[7] == "-" or not "1900" <= plain < "2200":
        raise ValueError("not a date")
    date.fromisoformat(plain)
    return plain


def day_in_zone(zone: ZoneInfo) -> Callable[[Any], str]:
    """A function from an instant to the local date it falls on; a plain date stays itself."""

    def local(moment: str) -> str:
        return _from_iso(moment).astimezone(zone).date().isoformat()

    @lru_cache(maxsize=65536)
    def day_of_hour(hour: str) -> str | None:
        """The local date of a whole hour of UTC, None where it changes within it."""
        first, last = local(f"{hour}:00:00Z"), local(f"{hour}:59:59Z")
        return first if first == last else None

    def convert(value: Any) -> str:
        if isinstance(value, str) and len(value) == 10 and value[4] == "-":
            return day(value)
        moment = instant(value)
        return day_of_hour(moment[:13]) or local(moment)

    return convert


def end_of_day(zone: ZoneInfo) -> Callable[[Any], str]:
    """A function from a date to the last second of that day in `zone`, as an instant."""

    def convert(value: Any) -> str:
        after = date.fromisoformat(day(value)) + timedelta(days=1)
        return format_instant(datetime.combine(after, time(), zone).astimezone(UTC) - timedelta(seconds=1))

    return convert


def number(value: Any) -> float:
    """A finite number."""
    result = float(value)
    if not math.isfinite(result):
        raise ValueError("not a finite number")
    return result


def integer(value: Any) -> int:
    """A whole number SQLite can hold; fractions are rounded."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return value
    result = round(number(value))
    if abs(result) > _LARGEST:
        raise ValueError("a number too large to store")
    return result


def count(value: str | None) -> int | None:
    """The number in a header: ASCII digits, at most twelve; None for anything else."""
    if value is None:
        return None
    plain = value.strip()
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) <= 12 else None


def seconds_of_ms(value: Any) -> int:
    """Whole seconds of milliseconds."""
    return integer(number(value) / 1000)


def share_of_percent(value: Any) -> float:
    """0-1 of 0-100."""
    return number(value) / 100


def boolean(value: Any) -> int:
    """0 or 1 of true, "true", 1, "yes" and their opposites."""
    if value is True or value is False:
        return int(value)
    try:
        return _BOOLEANS[str(value).strip().lower()]
    except KeyError:
        raise ValueError("neither true nor false") from None


def minor_units(value: Any, currency: str) -> int:
    """Money in the currency's smallest unit. Raises ValueError for NaN, infinity and what SQLite cannot hold."""
    if isinstance(value, str) and len(value) <= 15 and value.isascii():  # "1200", "1200.5": nearly all there are
        whole, _, fraction = value.partition(".")
        digits = _precision(currency)
        if whole.isdigit() and len(fraction) <= digits and (not fraction or fraction.isdigit()):
            return int(whole + fraction.ljust(digits, "0"))
    try:
        amount = Decimal(value if isinstance(value, str) else str(value))
        result = (amount * 10 ** _precision(currency)).to_integral_value(ROUND_HALF_UP)
    except (ArithmeticError, ValueError):  # a bad number, or an exponent beyond what Decimal can do
        raise ValueError("not an amount of money") from None
    if not result.is_finite() or not -_LARGEST <= result <= _LARGEST:
        raise ValueError("an amount too large to store")
    return int(result)


@lru_cache(maxsize=256)
def _precision(currency: str) -> int:
    from babel.numbers import get_currency_precision

    return get_currency_precision(currency)


def currency_code(value: Any) -> str:
    """Three capital letters."""
    code = str(value).strip().upper()
    if len(code) != 3 or not code.isalpha() or not code.isascii():
        raise ValueError("not a currency code")
    return code


def salesforce_id(value: str) -> str:
    """A Salesforce id in its form of 18 characters, which tells case apart (15 are made 18).

    Not cached: ids kept from page after page would pin the memory of all of them.
    """
    plain = value.strip()
    if not plain.isascii() or not plain.isalnum() or len(plain) not in (15, 18):
        raise ValueError("not a Salesforce id")
    if len(plain) == 18:
        return plain
    ends = [sum(1 << bit for bit, letter in enumerate(plain[at : at + 5]) if letter.isupper()) for at in (0, 5, 10)]
    return plain + "".join(_SUFFIX[value] for value in ends)


def email(value: Any) -> str | None:
    """Trimmed, lower case; None where there is no address in it."""
    plain = text(value).strip().lower()
    return plain if "@" in plain else None


def phone(value: Any) -> str | None:
    """Digits, with a leading + where the number is international; None where there are too few."""
    plain = (value if isinstance(value, str) and "\x00" not in value else text(value)).strip()
    digits = plain.encode().translate(None, _ASCII_NO_DIGITS).decode() if plain.isascii() else _NO_DIGITS.sub("", plain)
    if len(digits) < 5:
        return None
    if plain[0] == "+":
        return "+" + digits
    return f"+{digits[2:]}" if plain[:2] == "00" else digits


@lru_cache(maxsize=65536)
def domain(value: str) -> str | None:
    """The registrable domain of an address or host name, lower case, in its ASCII form; None where there is none."""
    host = text(value).strip().lower()
    host = host.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0].split("@")[-1].split(":", 1)[0].strip(".")
    if "." not in host or " " in host:
        return None
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    found = _suffixes().privatesuffix(host)
    return found if isinstance(found, str) else None


@lru_cache(maxsize=1)
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def zone_of(name: str | None, fallback: str) -> ZoneInfo:
    """The time zone of this name, or of the fallback's where it is missing or unknown."""
    for candidate in (name, fallback):
        if candidate:
            try:
                return ZoneInfo(candidate)
            except (ZoneInfoNotFoundError, ValueError):
                continue
    return ZoneInfo("UTC")
