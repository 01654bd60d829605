"""A script in front of all others on the page; what Gradio takes as `head` runs after it has chosen a language."""

from typing import Any


class Early:
    """ASGI middleware: puts a script at the beginning of the page's <head>."""

    def __init__(self, app: Any, script: str) -> None:
        self.app = app
        self.inserted = f"<head><script>{script}</script>".encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
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
            whole = body.replace(b"<head>", self.inserted, 1)
            headers = [(k, v) for k, v in began["headers"] if k.lower() != b"content-length"]
            await send(began | {"headers": [*headers, (b"content-length", str(len(whole)).encode())]})
            await send({"type": "http.response.body", "body": whole})

        return await self.app(scope, receive, changed)
