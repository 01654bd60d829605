"""What stands in front of the page: who may ask, for what, and for how much of it.

    uvicorn -> Guard -> Gradio -> the page's events and server functions (page/__init__.py: answering)

Gradio answers at some sixty addresses, of which this page needs a dozen: ROUTES. All else is not there. What is there
is refused before its body is read, when another site asks or nobody has signed in, and a body has a limit of bytes and
of time before any parser sees it. Its JSON is checked here as far as its frame goes: which event, which function.
"""

import asyncio
import ipaddress
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import GenericAlias
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse

from words import Fault

UPLOAD = 28 << 20  # bytes of JSON: the largest file that a page sends (page/sample.py), in base64
EVENT = 256 << 10  # bytes: what an event holds is typed by hand
HELD = 6 * UPLOAD  # bytes of all bodies whose answers are not out yet
PATIENCE, RATE = 30.0, 16 << 10  # seconds that any body may take, and bytes a second that a longer one must bring
SPARED = 6  # one part in so many of HELD is for bodies as small as an event's: files alone shut nobody out
VALUES, DEPTH = 200_000, 40  # in one JSON text: each costs up to a hundred bytes of memory
API = "/gradio_api"

asker: ContextVar[str] = ContextVar("asker", default="")  # who asks: an address, and its browser by a cookie of ours
BROWSER = "listener"  # that cookie's name


def asking() -> str:
    """The address of who asks."""
    return asker.get().partition(" ")[0]


@dataclass(frozen=True)
class Route:
    """What the page asks for. path: with * at its end, all below it. most: bytes of the body.

    open: also before signing in. linked: also from a link on another site.
    """

    method: str
    path: str
    most: int = 0
    open: bool = False
    linked: bool = False


ROUTES = (
    Route("GET", "", open=True, linked=True),
    Route("HEAD", "", open=True, linked=True),  # Gradio looks whether it has started
    Route("GET", f"{API}/startup-events", open=True),  # and has its own queue started
    Route("GET", f"{API}/app_id", open=True),  # a page that has lost its server asks whether it is back
    Route("GET", "/assets/*", open=True),
    Route("GET", "/static/*", open=True),
    Route("GET", "/theme.css", open=True),
    Route("GET", "/favicon.ico", open=True),
    Route("GET", f"{API}/heartbeat/*"),
    Route("GET", f"{API}/queue/data"),
    Route("GET", "/made/*", linked=True),
    Route("POST", f"{API}/queue/join", EVENT),
    Route("POST", f"{API}/run/predict", EVENT),
    Route("POST", f"{API}/component_server", UPLOAD),
    Route("POST", "/login", 16 << 10, open=True),
    Route("POST", "/logout", open=True),
)

HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers that do not know frame-ancestors
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
}


ANSWERS: dict[str, tuple[int, dict[str, str]]] = {  # to what is refused: status and headers
    "guard.no_name": (400, {}),
    "guard.wrong": (422, {}),
    "guard.foreign": (403, {}),
    "guard.gone": (404, {}),
    "guard.large": (413, {"connection": "close"}),
    "guard.many": (413, {}),
    "guard.no_json": (415, {}),
    "guard.slow": (408, {"connection": "close"}),
    "guard.busy": (503, {"retry-after": "5"}),
    "signin.first": (401, {}),
}


class Refused(Fault):
    """Answered with a status and one sentence in both languages, see ANSWERS."""

    @property
    def response(self) -> PlainTextResponse:
        chinese, english = self.message.pair
        return PlainTextResponse(f"{english} {chinese}\n", *ANSWERS[self.message.key])


class Frame(BaseModel):
    """What a page sends around its data."""

    model_config = ConfigDict(extra="forbid", strict=True)
    session_hash: str = Field(pattern="^[0-9a-z]{1,32}$")


class Event(Frame):
    fn_index: int
    trigger_id: int | None = None
    event_data: dict[str, Any] | None = None
    data: list[Any]


class Call(Frame):
    component_id: int
    fn_name: str
    data: Any


class Contract:
    """Which events and server functions a page has, and what its events carry."""

    def __init__(self, blocks: Any) -> None:
        self.blocks = blocks
        self.events = {
            id: _payload(event.inputs)
            for id, event in blocks.fns.items()
            if event.fn is not None and not any(name == "unload" for _, name in event.targets)
        }
        self.triggers = {None, blocks._id, *blocks.blocks}
        self.functions = {
            (id, name)
            for id, block in blocks.blocks.items()
            for name in vars(block)
            if getattr(getattr(block, name), "_is_server_fn", None) is True
        }

    def check(self, path: str, content: Any) -> None:
        """Raises Refused for what no page asks, ValidationError for what is of the wrong type."""
        if path.endswith("/component_server"):
            call = Call.model_validate(content)
            if (call.component_id, call.fn_name) not in self.functions:
                raise Refused("guard.gone")
            return
        event = Event.model_validate(content)
        offered = event.fn_index in self.events and event.trigger_id in self.triggers
        if not offered or self.blocks.fns[event.fn_index].queue != path.endswith("/queue/join"):
            raise Refused("guard.gone")
        self.events[event.fn_index].validate_python(event.data)

    def listening(self, query: str) -> bool:
        """Whether the session that a query names waits for news; of another Gradio would print an error."""
        sessions = parse_qs(query).get("session_hash", [])
        return len(sessions) == 1 and sessions[0] in self.blocks._queue.pending_messages_per_session


def _payload(inputs: Sequence[Any]) -> TypeAdapter[Any]:
    """Of what a page sends for inputs. Raises KeyError for one whose type is not settled yet."""
    kinds = {"dropdown": str | None, "textbox": str | None, "state": None}
    data: Any = GenericAlias(tuple, tuple(kinds[part.get_block_name()] for part in inputs))
    return TypeAdapter(data)


class Guard:
    """The application in front of another. hosts: the names it answers to; none: to all.

    signed_in: whether somebody with these cookies may see the page. patience: seconds, see PATIENCE.
    """

    def __init__(
        self,
        app: Any,
        contract: Contract,
        signed_in: Callable[[Mapping[str, str]], bool],
        hosts: Callable[[str], bool] = lambda _: True,
        patience: float = PATIENCE,
        held: int = HELD,
    ) -> None:
        self.app, self.contract, self.signed_in, self.hosts = app, contract, signed_in, hosts
        self.patience, self.most_held = patience, held
        self.held = 0  # bytes

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        cookies: list[str] = []
        send, headers = _secured(scope, send, cookies), Headers(scope=scope)
        chunks: list[bytes] = []
        try:
            path, route = self._admit(scope, headers)
            address = _network(scope["client"][0] if scope.get("client") else "")
            asker.set(address)
            scope = scope | {"headers": _without_length(scope), "query_string": self._query(path, scope)}
            async for chunk in self._body(route, headers, receive):
                chunks.append(chunk)
            body = b"".join(chunks)
            if route.method == "POST" and path.startswith(API):
                body, content = read(body)
                try:
                    self.contract.check(path, content)
                except ValidationError as error:
                    raise Refused("guard.wrong") from error
                browser = _cookies(headers).get(BROWSER, "")
                if not re.fullmatch("[0-9A-Za-z_-]{22}", browser):  # nothing but its work here goes by it
                    browser = secrets.token_urlsafe(16)
                    cookies.append(f"{BROWSER}={browser}; Path=/")
                asker.set(f"{address} {browser}")
            await self.app(scope, _replay(body, receive), send)
        except Refused as refused:
            await refused.response(scope, receive, send)
        except _Gone:
            pass
        finally:
            self.held -= sum(map(len, chunks))

    def _admit(self, scope: dict[str, Any], headers: Headers) -> tuple[str, Route]:
        """The path and its route. Raises Refused by what is known before the body."""
        names = headers.getlist("host")
        if len(names) != 1 or not self.hosts(_name(names[0])):
            raise Refused("guard.no_name")
        path = route_path(scope).removesuffix("/")
        route = next((route for route in ROUTES if route.method == scope["method"] and _fits(route.path, path)), None)
        if route is None:
            raise Refused("guard.gone")
        if foreign(route, headers):
            raise Refused("guard.foreign")
        if not route.open and not self.signed_in(_cookies(headers)):
            raise Refused("signin.first")
        return path, route

    def _query(self, path: str, scope: dict[str, Any]) -> bytes:
        """None but the one that the page needs: Gradio takes several others, deep links among them."""
        if path != f"{API}/queue/data":
            return b""
        if not self.contract.listening(scope["query_string"].decode("latin-1")):
            raise Refused("guard.gone")
        return scope["query_string"]

    async def _body(self, route: Route, headers: Headers, receive: Any) -> AsyncIterator[bytes]:
        """The pieces of a body. Raises Refused for one that is too large, too slow, or no JSON where that is wanted."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15 or int(length) > route.most:
            raise Refused("guard.large", most=max(route.most, 1024) >> 10)
        if not route.most and "transfer-encoding" not in headers:
            return
        if route.path.startswith(API) and headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused("guard.no_json")
        size, more, left = 0, True, self.patience
        while more:
            began = time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0))
            except TimeoutError as error:
                raise Refused("guard.slow") from error
            if message["type"] != "http.request":
                raise _Gone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            left += len(chunk) / RATE - (time.monotonic() - began)
            left = min(left, self.patience)  # what came fast buys no half hour of silence
            if size > route.most:
                raise Refused("guard.large", most=max(route.most, 1024) >> 10)
            if self.held + len(chunk) > self.most_held - (self.most_held // SPARED if size > EVENT else 0):
                raise Refused("guard.busy")
            self.held += len(chunk)
            yield chunk


class _Gone(Exception):
    """Who asked has left."""


def read(body: bytes) -> tuple[bytes, Any]:
    """A body and its JSON. Raises Refused for what is none, or is more than any page sends."""
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > VALUES:
        raise Refused("guard.many")
    try:
        text = body.decode()
        if re.search(r"\\u[dD][89a-fA-F]", text):
            text = json.dumps(json.loads(text), ensure_ascii=False)
            body = whole_characters(text).encode()
        content = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused("guard.wrong") from error
    if not _shallow(content, DEPTH):
        raise Refused("guard.wrong")
    return body, content


def whole_characters(text: str) -> str:
    """Half a surrogate pair, which JSON from a browser may hold, can neither be written nor sent: U+FFFD instead."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _no_number(name: str) -> None:
    raise ValueError(name)


def _shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_shallow(one, levels - 1) for one in inner if isinstance(one, dict | list))


def foreign(route: Route, headers: Headers) -> bool:
    """Whether a page of another site is behind a request.

    Browsers say it in Sec-Fetch-Site where the page is on https or this machine, and else in Origin, or in Referer
    alone for what is only read. Who sends none of them is no browser.
    """
    site = headers.get("sec-fetch-site")
    if route.linked and headers.get("sec-fetch-mode", "navigate") == "navigate" and "origin" not in headers:
        return False
    if site is not None and site not in ("same-origin", "none"):
        return True
    hosts = [headers.get("host", ""), headers.get("x-forwarded-host", "").partition(",")[0].strip()]
    origins = [*headers.getlist("origin"), *(headers.getlist("referer") if site is None else ())]
    return not all(any(same_place(one, host) for host in hosts if host) for one in origins)


def same_place(origin: str, host: str) -> bool:
    """Whether an origin is at a host: of the same name and port, by default the port of the origin's scheme."""
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}.get(theirs.scheme)
        place = (ours.hostname, ours.port or usual)
        return bool(usual and theirs.hostname) and (theirs.hostname, theirs.port or usual) == place
    except ValueError:
        return False


def loopback(host: str) -> bool:
    """Whether a host's name or address means this machine alone."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def route_path(scope: Mapping[str, Any]) -> str:
    """The path as the page knows it, without the one that a proxy has put in front."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _network(address: str) -> str:
    """Whom an address stands for: of IPv6 everybody has 2**64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    whole = parsed.version == 4 or parsed.is_loopback
    return address if whole else str(ipaddress.ip_network((parsed, 64), strict=False))


def _cookies(headers: Headers) -> dict[str, str]:
    return cookie_parser("; ".join(headers.getlist("cookie")))


def _without_length(scope: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers without the body's length, which may be another by now."""
    return [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")]


def _replay(body: bytes, receive: Any) -> Callable[[], Any]:
    """A receive() that gives a body that was read before, then what comes later."""
    first: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, Any]:
        return first.pop() if first else await receive()

    return replay


def _secured(scope: dict[str, Any], send: Any, cookies: list[str]) -> Any:
    """A send() that adds HEADERS and our cookies, and keeps all cookies from other sites and from scripts."""

    async def secured(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=[pair for pair in message["headers"] if pair[0] != b"set-cookie"])
            for cookie in (*Headers(raw=message["headers"]).getlist("set-cookie"), *cookies):
                headers.append("set-cookie", own_cookie(cookie, scope.get("scheme") == "https"))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            message = message | {"headers": headers.raw}
        await send(message)

    return secured


def own_cookie(cookie: str, encrypted: bool) -> str:
    """A cookie that other sites' requests do not bring and scripts do not see."""
    value, *rules = cookie.split("; ")
    others = [rule for rule in rules if not re.match("(?i)samesite|httponly|secure", rule)]
    if encrypted or any(rule.lower() == "secure" for rule in rules):
        others.append("Secure")
    return "; ".join([value, *others, "HttpOnly", "SameSite=Strict"])
