"""Templates into answers, with the headers that keep a page to itself."""

import secrets
from typing import Any

import jinja2
from starlette.responses import HTMLResponse, Response

from aerofn.web.dashboard import chart, words

# Scripts and styles by nonce: not even a script of this origin runs otherwise, which a function could have answered.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("aerofn.web.dashboard"),
    autoescape=True,
    finalize=words.visible,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(
    when=words.when, duration=words.duration, number=words.number, about=words.about, rate=words.rate,
    memory=words.memory, size=words.size, json=words.json_text, text=words.text,
    spark=chart.spark, bars=chart.bars, recent=chart.recent,
)  # fmt: skip
_templates.globals.update(percent=words.percent)


def html(template: str, status: int = 200, **context: Any) -> Response:
    """A page."""
    nonce = secrets.token_urlsafe(16)
    text = _templates.get_template(template).render(nonce=nonce, **context)
    # A text may hold half a surrogate pair, which UTF-8 cannot.
    body = text.encode(errors="replace")
    return HTMLResponse(body, status, {"content-security-policy": _POLICY.format(nonce=nonce)})
