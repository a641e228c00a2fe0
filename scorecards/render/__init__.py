"""An Issue becomes a Rendered message: the view is built, both templates are filled, the styles are inlined.

One Jinja environment, one inliner and one picture cache are kept for the life of the process: making them is what
costs. Nothing here opens a connection; pictures travel inside the message.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from scorecards.render import headline, sparkline
from scorecards.render.build import view
from scorecards.render.clean import link_breaks
from scorecards.render.format import get
from scorecards.render.message import Issue, Rendered
from scorecards.render.view import Detail
from scorecards.values import KpiResult

if TYPE_CHECKING:
    from css_inline import CSSInliner
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["Issue", "Rendered", "preview_html", "render"]

#: Gmail cuts a message near 102 KB, quoted history included; ours stay well under it.
HTML_MAX = 60_000
#: From full to bare: the first whose HTML fits is sent. Totals are always said, so nothing is dropped silently.
_DETAILS = (Detail(5, 3, 6), Detail(5, 2, 4), Detail(3, 2, 3), Detail(2, 1, 0), Detail(0, 0, 0))


def render(issue: Issue) -> Rendered:
    """The message of one issue for one reader. Raises RenderError for an unknown locale or time zone."""
    fmt = get(issue.locale, issue.currency, issue.timezone)
    env = _environment()
    for detail in _DETAILS:
        images: dict[str, bytes] = {}

        def draw(result: KpiResult, images: dict[str, bytes] = images) -> str:
            cid = f"k{len(images)}.png"
            images[cid] = _picture(result)
            return cid

        shown = view(issue, fmt, detail, draw)
        html = _inliner().inline(env.get_template("scorecard.html.j2").render(v=shown, t=fmt.words))
        html = _tidy(html)
        if len(html.encode()) < HTML_MAX:
            break
    text = env.get_template("scorecard.txt.j2").render(v=shown, t=fmt.words)
    return Rendered(headline.subject(issue, fmt), html, _squeezed(text), images)


def preview_html(rendered: Rendered) -> str:
    """The same HTML with its pictures as files of the same name beside it."""
    html = rendered.html
    for cid in rendered.images:
        html = html.replace(f'src="cid:{cid}"', f'src="{cid}"')
    return html


def _picture(result: KpiResult) -> bytes:
    drawing = sparkline.drawing([point.value for point in result.series], goals(result))
    return sparkline.png(_environment().get_template("sparkline.svg.j2").render(d=drawing))


def goals(result: KpiResult) -> Sequence[float]:
    """The values of the dashed rules: one goal, what of a year's falls to a month, or both edges of a band."""
    target = result.target
    if target is None:
        return ()
    if target.want == "between":
        return tuple(edge for edge in (target.low, target.high) if edge is not None)
    wanted = next((one for one in (target.share, target.value, target.expected) if one is not None), None)
    return () if wanted is None else (wanted,)


def _nolink(text: str) -> "Markup":
    """Escaped text in which no mail client finds an address to turn into a link."""
    from markupsafe import Markup, escape

    return Markup("").join(
        escape(part) + (Markup("<span>{}</span>").format(sign) if sign else "") for part, sign in link_breaks(text)
    )


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    # Escaped for HTML and SVG; the text part is text and must not be.
    env = Environment(
        loader=PackageLoader("templates", "email"),
        autoescape=select_autoescape(("html.j2", "svg.j2"), disabled_extensions=("txt.j2",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters["nolink"] = _nolink
    return env


@lru_cache(maxsize=1)
def _inliner() -> "CSSInliner":
    from css_inline import CSSInliner

    return CSSInliner(load_remote_stylesheets=False, preallocate_node_capacity=2000)


def _tidy(html: str) -> str:
    """Without the inliner's own mark and the indentation of the templates: a fifth of the bytes."""
    html = html.replace(' data-css-inline="keep"', "")
    return re.sub(r">\s*\n\s*<", ">\n<", re.sub(r"\n\s+", "\n", html))


def _squeezed(text: str) -> str:
    """No blanks at line ends, never more than one empty line."""
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
