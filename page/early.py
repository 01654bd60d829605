"""A script in front of all others on the page; what Gradio takes as `head` runs after it has chosen a language.

And the policy of what may run there at all: scripts of the page itself, which carry a number used once, and what they
load from this server. Gradio makes functions of text, so 'unsafe-eval' stays; what stands in a text that somebody has
brought, a handler in its markup or an address of javascript, does not run.
"""

import re
import secrets
from typing import Any

from page.guard import route_path

POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


class Early:
    """ASGI middleware: puts a script at the beginning of the page's <head>."""

    def __init__(self, app: Any, script: str) -> None:
        self.app = app
        self.script = script

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or route_path(scope) not in ("", "/"):
            return await self.app(scope, receive, send)
        began: dict[str, Any] = {}
        body = b""

        async def changed(message: dict[str, Any]) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                began.update(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            nonce = secrets.token_urlsafe(16)
            tag = f'<script nonce="{nonce}"'.encode()
            # What is not the page's own markup has no "<" in it: Gradio writes its settings with \u003c.
            whole = re.sub(rb"<script(?=[\s>])", tag, body)
            whole = whole.replace(b"<head>", b"<head>" + tag + f">{self.script}</script>".encode(), 1)
            headers = [(k, v) for k, v in began["headers"] if k.lower() != b"content-length"]
            policy = (b"content-security-policy", POLICY.format(nonce=nonce).encode())
            await send(began | {"headers": [*headers, policy, (b"content-length", str(len(whole)).encode())]})
            await send({"type": "http.response.body", "body": whole})

        return await self.app(scope, receive, changed)
