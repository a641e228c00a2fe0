"""Text and links from CRMs made safe to show: invisible and direction-changing characters out, https links only.

What is escaped for HTML is the template's business; this module knows what must never reach a reader at all.
"""

import re
import unicodedata
from urllib.parse import urlsplit

CAP = 80  # characters of one CRM text that are shown
_WORD = 14

# Line and paragraph separators and the ASCII spaces become one space; ZWNJ and ZWJ stay (Persian, Indic, emoji).
_SPACES = re.compile(r"[\s\u0085\u2028\u2029]+")
_DROPPED = re.compile(
    "[\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f"  # C0 and C1 controls
    "\u00ad\u034f\u180e\u200b\u2060-\u2064\ufeff\ufff9-\ufffb"  # invisible: soft hyphen, joiners, marks
    "\u202a-\u202e\u2066-\u206f"  # bidi embeddings, overrides, isolates
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, tag characters
)
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_COMBINING = re.compile(f"({_MARK}{{3}}){_MARK}+")  # more on one letter is ornament that runs over other lines
_LINKABLE = re.compile(r"(?<=\w)[.@](?=\w)|:(?=//)")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.IGNORECASE)


def clean(text: str | None, cap: int = CAP) -> str:
    """`text` on one line without controls, invisible or direction-changing characters, at most `cap` characters."""
    if not text:
        return ""
    shown = _SPACES.sub(" ", _DROPPED.sub("", _SPACES.sub(" ", text[: cap * 50]))).strip()
    shown = _COMBINING.sub(r"\1", shown)
    if len(shown) <= cap:
        return shown
    kept = shown[: cap - 1]
    if " " in kept[-_WORD:]:  # whole words, unless the last one is very long
        kept = kept.rpartition(" ")[0]
    while kept and (unicodedata.combining(kept[-1]) or kept[-1] in "\u200c\u200d \ufe0f"):
        kept = kept[:-1]
    return kept + "…"


def link_breaks(text: str) -> list[tuple[str, str]]:
    """`text` cut where a mail client would see an address or a host: (plain part, the character to wrap)."""
    parts: list[tuple[str, str]] = []
    at = 0
    for match in _LINKABLE.finditer(text):
        parts.append((text[at : match.start()], match.group()))
        at = match.end()
    parts.append((text[at:], ""))
    return parts


def safe_url(url: str | None) -> str | None:
    """`url` if it may be linked: https, a real host name, no user part, no control or blank; else None."""
    if not url or len(url) > 2000 or re.search(r"[\s\x00-\x20\x7f-\x9f<>\"'\\`{}|^]", url) or not url.isascii():
        return None
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return None
    if parts.scheme.lower() != "https" or "@" in parts.netloc or not port_ok:
        return None
    return url if _HOST.fullmatch(parts.hostname or "") else None


def safe_stop(url: str | None) -> str | None:
    """An unsubscribe address if it may be linked: a plain mailto: or a safe https one; else None."""
    if url and re.fullmatch(r"mailto:[\w.+%-]+@[\w.-]+(\?[\w=&%.+~-]*)?", url, re.ASCII):
        return url
    return safe_url(url)
