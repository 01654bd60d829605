"""What strangers send to the page: bodies without end, other sites' requests, guesses, values of the wrong type."""

import asyncio
import contextlib
import json
import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode, urlsplit

import gradio
import httpx
import numpy as np
import pytest
from fastapi import HTTPException
from starlette.datastructures import Headers

import webui
from infer.documents import audio
from infer.engine.pipeline import Engine
from infer.request import BadRequest
from infer.settings import load_settings
from page import batch, guard, sample
from page.asks import ASKS
from page.files import Files
from page.guard import API, ROUTES, UPLOAD, Guard, Route, foreign, loopback, own_cookie, route_path, same_place
from page.signin import FREE, REMEMBERED, Door
from tests.voices import make_tiny_voice

CHUNK = b"x" * 65536
SERVER = f"{API}/component_server"
OWN = {"host": "127.0.0.1:7860", "content-type": "application/json"}


# --- the guard alone -------------------------------------------------------------------------------------------------


class Asked:
    """A request to a guard, and what came of it. chunks: pieces of the body, of which `pulled` were read."""

    def __init__(self, method: str, path: str, chunks=(), headers=None, client="10.0.0.1") -> None:
        pairs = [(name.encode(), value.encode()) for name, value in (headers or OWN).items()]
        self.scope = {"type": "http", "method": method, "path": path, "headers": pairs, "query_string": b"a=b"}
        self.scope |= {"client": (client, 1), "scheme": "http"}
        self.chunks, self.pulled, self.status, self.headers, self.text = iter(chunks), 0, 0, Headers(), ""

    async def receive(self):
        chunk = next(self.chunks, None)
        self.pulled += chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=message["headers"])
        else:
            self.text += message["body"].decode()


class Behind:
    """An application that notes what reaches it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.scopes: list[dict] = []
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, scope, receive, send):
        self.bodies.append((await receive())["body"])
        self.scopes.append(scope)
        await self.held.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"a=b; Path=/")]})
        await send({"type": "http.response.body", "body": guard.asker.get().encode()})


CONTRACT = SimpleNamespace(check=lambda *_: None, listening=lambda query: query == "session_hash=s1")


def guarded(**options) -> Guard:
    return Guard(Behind(), CONTRACT, options.pop("signed_in", lambda _: True), **options)


def ask(front: Guard, *request, **more) -> Asked:
    asked = Asked(*request, **more)
    asyncio.run(front(asked.scope, asked.receive, asked.send))
    return asked


def endless() -> Iterator[bytes]:
    while True:
        yield CHUNK


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST" or "data" in route.path])
def test_a_body_without_end_is_cut(route):
    front = guarded()
    path, query = route.path, {"query_string": b"session_hash=s1"}
    declared = Asked("POST", path, endless(), OWN | {"content-length": str(400 << 20)})
    chunked = Asked(route.method, path, endless(), OWN | {"transfer-encoding": "chunked"})
    for asked, method in ((declared, route.method), (chunked, route.method)):
        asked.scope |= query | {"method": method}
        asyncio.run(front(asked.scope, asked.receive, asked.send))
        assert asked.status == 413 and not front.app.bodies
    assert declared.pulled == 0 and chunked.pulled == route.most // len(CHUNK) + 1
    assert front.held == 0, "nothing of it is kept"


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 400, "x", "٣"])
def test_a_length_that_is_no_number_is_refused(length):
    front = guarded()
    asked = Asked("POST", SERVER, [b"{}"])
    asked.scope["headers"] += [(b"content-length", length.encode())]
    asyncio.run(front(asked.scope, asked.receive, asked.send))
    assert asked.status == 413 and asked.pulled == 0


def test_nobody_is_listened_to_before_signing_in():
    front = guarded(signed_in=lambda cookies: cookies.get("token") == "right")
    for route in ROUTES:
        asked = ask(front, route.method, route.path.replace("*", "x") or "/", endless())
        assert asked.pulled <= 1 and (asked.status == 401) == (not route.open)
    own = OWN | {"cookie": "other=1; token=right"}
    assert ask(front, "POST", SERVER, [b"{}"], headers=own).status == 200


def test_a_body_that_does_not_come_is_not_waited_for():
    async def never():
        await asyncio.Event().wait()

    front = guarded(patience=0.01)
    asked = Asked("POST", SERVER)
    asyncio.run(front(asked.scope, never, asked.send))
    assert asked.status == 408 and not front.app.bodies


def test_a_body_that_came_fast_and_stops_is_not_waited_for_longer():
    async def asked() -> Asked:
        coming = [{"type": "http.request", "body": b" " * (1 << 20), "more_body": True}]  # 64 seconds' worth

        async def stopping():
            return coming.pop() if coming else await asyncio.Event().wait()

        asked, front = Asked("POST", SERVER), guarded(patience=0.2)
        await asyncio.wait_for(front(asked.scope, stopping, asked.send), 20)
        return asked

    assert asyncio.run(asked()).status == 408


def test_files_that_are_being_sent_leave_room_for_small_bodies():
    async def two() -> list[int]:
        front = guarded(held=3 << 20)
        front.app.held.clear()
        large, larger = (Asked("POST", SERVER, [json.dumps("x" * size).encode()]) for size in (2 << 20, 1 << 19))
        small = Asked("POST", SERVER, [json.dumps("x" * 200_000).encode()])
        running = [asyncio.ensure_future(front(one.scope, one.receive, one.send)) for one in (large, larger, small)]
        while len(front.app.bodies) < 2:
            await asyncio.sleep(0)
        front.app.held.set()
        await asyncio.wait_for(asyncio.gather(*running), 20)
        return [large.status, larger.status, small.status]

    assert asyncio.run(two()) == [200, 503, 200]


def test_all_bodies_together_have_a_limit():
    async def three() -> list[Asked]:
        front = guarded(held=100_000)
        front.app.held.clear()
        body = json.dumps("x" * 80_000).encode()
        first, second, third = (Asked("POST", SERVER, [body]) for _ in range(3))
        running = asyncio.ensure_future(front(first.scope, first.receive, first.send))
        while not front.app.bodies:
            await asyncio.sleep(0)
        await front(second.scope, second.receive, second.send)
        front.app.held.set()
        await running
        await front(third.scope, third.receive, third.send)
        assert front.held == 0
        return [first, second, third]

    first, second, third = asyncio.run(three())
    assert [first.status, second.status, third.status] == [200, 503, 200] and second.headers["retry-after"]


def test_who_leaves_is_forgotten():
    async def gone():
        return {"type": "http.disconnect"}

    front = guarded()
    asked = Asked("POST", SERVER)
    asyncio.run(front(asked.scope, gone, asked.send))
    assert asked.status == 0 and not front.app.bodies and front.held == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" + b"[]," * guard.VALUES + b"[]]", 413),
        (b"[" * 5000 + b"]" * 5000, 422),
        (b"[" * 199_000, 422),
        (b'{"a":NaN}', 422),
        (b"[-Infinity]", 422),
        (b"9" * 5000, 422),
        (b"\xff\xfe[\x00]\x00", 422),
        (b"", 422),
        (b"{'a': 1}", 422),
    ],
)
def test_json_that_no_page_sends_is_refused(body, status):
    front = guarded()
    assert ask(front, "POST", SERVER, [body]).status == status and not front.app.bodies


def test_json_goes_through_as_it_came():
    front = guarded()
    body = '{"data": ["好", "\U0001f600", "\\u597d"], "n": 1.50}'.encode()
    asked = ask(front, "POST", SERVER, [body[:7], body[7:20], body[20:]])
    assert asked.status == 200 and front.app.bodies == [body] and asked.text.startswith("10.0.0.1 ")
    ask(front, "POST", SERVER, [b'["\\ud83d", "\\ud83d\\ude00", "\\\\ud83d"]'])
    assert json.loads(front.app.bodies[-1]) == ["\ufffd", "\U0001f600", "\\ud83d"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_a_form_of_another_site_is_no_json(kind):
    """What a form can send without asking the server first."""
    assert ask(guarded(), "POST", SERVER, [b"{}"], headers=OWN | {"content-type": kind}).status == 415


HERE, LINK = Route("POST", SERVER), Route("GET", "", linked=True)


@pytest.mark.parametrize(
    ("headers", "other"),
    [
        ({"host": "192.168.1.5:7860", "origin": "http://192.168.1.5:7860"}, False),
        ({"host": "192.168.1.5:7860", "origin": "http://evil.example"}, True),
        ({"host": "192.168.1.5:7860", "origin": "http://192.168.1.5"}, True),
        ({"host": "192.168.1.5:7860", "origin": "null"}, True),
        ({"host": "192.168.1.5:7860", "origin": ""}, True),
        ({"host": "192.168.1.5:7860", "origin": "http://192.168.1.5:x"}, True),
        ({"host": "192.168.1.5:7860", "origin": "http://192.168.1.5:7860.evil.example"}, True),
        ({"host": "192.168.1.5:7860", "referer": "http://evil.example/page"}, True),
        ({"host": "192.168.1.5:7860", "referer": "http://192.168.1.5:7860/?x"}, False),
        ({"host": "192.168.1.5:7860"}, False),  # no browser
        ({"host": "speech.example", "origin": "https://speech.example"}, False),
        ({"host": "speech.example:443", "origin": "https://speech.example"}, False),
        ({"host": "speech.example:80", "origin": "https://speech.example"}, True),
        ({"host": "Speech.Example", "origin": "http://speech.example:80"}, False),
        ({"host": "[fe80::1]:7860", "origin": "http://[fe80::1]:7860"}, False),
        ({"host": "[::1]", "origin": "http://[::1]"}, False),
        ({"host": "[::1]", "origin": "http://[::2]"}, True),
        ({"host": "127.0.0.1:7860", "x-forwarded-host": "a.example, b", "origin": "https://a.example"}, False),
        ({"host": "127.0.0.1:7860", "x-forwarded-host": "a.example", "origin": "https://evil.example"}, True),
        ({"host": "a.example", "sec-fetch-site": "same-origin"}, False),
        ({"host": "a.example", "sec-fetch-site": "none"}, False),
        ({"host": "a.example", "sec-fetch-site": "same-site"}, True),
        ({"host": "a.example", "sec-fetch-site": "cross-site", "origin": "http://a.example"}, True),
        ({"host": "a.example", "sec-fetch-site": "same-origin", "origin": "http://evil.example"}, True),
    ],
)
def test_another_site_is_told_from_the_page(headers, other):
    assert foreign(HERE, Headers(headers)) is other
    assert ask(guarded(), "POST", SERVER, [b"{}"], headers=OWN | headers).status == (403 if other else 200)


def test_a_link_on_another_site_opens_the_page():
    came = {"host": "a.example", "referer": "http://evil.example/"}
    assert not foreign(LINK, Headers(came))
    assert not foreign(LINK, Headers(came | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}))
    assert foreign(LINK, Headers(came | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}))
    assert foreign(LINK, Headers(came | {"origin": "http://evil.example"}))


def test_names_of_this_machine():
    assert all(map(loopback, ("127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]")))
    assert not any(map(loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "")))
    front = guarded(hosts=loopback)
    for host, status in {"[::1]:7860": 200, "localhost": 200, "evil.example": 400, "": 400, "[": 400}.items():
        assert ask(front, "GET", "/", headers={"host": host}).status == status
    assert ask(front, "GET", "/", headers={"accept": "*/*"}).status == 400
    assert same_place("http://[::1]:80", "[::1]") and not same_place("file://", "")


def test_a_path_in_front_of_the_page():
    assert route_path({"path": "/speech/made/x", "root_path": "/speech"}) == "/made/x"
    assert route_path({"path": "/speech", "root_path": "/speech/"}) == ""
    assert route_path({"path": "/speeches", "root_path": "/speech"}) == "/speeches"
    assert route_path({"path": "/made/x"}) == "/made/x"


def test_cookies_stay_with_the_page():
    assert own_cookie("a=b; Path=/; HttpOnly; SameSite=none; Secure", False) == (
        "a=b; Path=/; Secure; HttpOnly; SameSite=Strict"
    )
    assert own_cookie("a=b", False) == "a=b; HttpOnly; SameSite=Strict"
    assert own_cookie("a=b", True) == "a=b; Secure; HttpOnly; SameSite=Strict"
    asked = ask(guarded(), "GET", "/")
    assert asked.headers["set-cookie"] == "a=b; Path=/; HttpOnly; SameSite=Strict"


def test_a_browser_is_known_again():
    """By a cookie: what was said from one browser is another's secret, also in how soon an answer comes."""
    front = guarded()
    first = ask(front, "POST", SERVER, [b"{}"])
    cookie = next(one for one in first.headers.getlist("set-cookie") if one.startswith("listener="))
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    again = ask(front, "POST", SERVER, [b"{}"], headers=OWN | {"cookie": cookie.partition(";")[0]})
    assert again.text == first.text and "listener=" not in again.headers["set-cookie"]
    assert len({ask(front, "POST", SERVER, [b"{}"]).text for _ in range(9)}) == 9
    for forged in ("", "x" * 21, "../../../../../../../.", "x" * 2000):
        assert re.fullmatch(
            "10.0.0.1 [-_0-9A-Za-z]{22}",
            ask(front, "POST", SERVER, [b"{}"], headers=OWN | {"cookie": f"listener={forged}"}).text,
        )


def test_every_answer_says_what_browsers_must_not_do():
    for path in ("/", "/none"):
        told = ask(guarded(), "GET", path).headers
        assert "frame-ancestors 'none'" in told["content-security-policy"]
        assert told["x-content-type-options"] == "nosniff" and told["referrer-policy"] == "same-origin"


def test_only_the_query_that_is_needed_gets_through():
    front = guarded()
    ask(front, "GET", "/")
    assert front.app.scopes[-1]["query_string"] == b""
    asked = Asked("GET", f"{API}/queue/data")
    asked.scope["query_string"] = b"session_hash=s1"
    asyncio.run(front(asked.scope, asked.receive, asked.send))
    assert front.app.scopes[-1]["query_string"] == b"session_hash=s1"
    assert ask(front, "GET", f"{API}/queue/data").status == 404


def test_the_largest_files_of_the_page_come_through():
    assert max(sample.LARGEST, batch.MOST_BYTES) * 4 / 3 + 65536 <= UPLOAD


# --- guesses ---------------------------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def guess(door: Door, address: str, password: str = "wrong", name: str = "alice") -> str:
    guard.asker.set(address)
    try:
        return "in" if door(name, password) else "wrong"
    except HTTPException as error:
        assert error.status_code == 429 and int(error.headers["retry-after"]) >= 1
        return "wait"


def heard(door: Door, clock: Clock, addresses: list[str], seconds: int, name: str = "alice") -> int:
    """How many of a guesser's tries, a hundred a second, are compared at all."""
    tries = 0
    for step in range(seconds * 100):
        clock.now += 0.01
        tries += guess(door, addresses[step % len(addresses)], name=name) == "wrong"
    return tries


def test_guesses_from_one_address_become_rare():
    clock = Clock()
    door = Door("alice", "secret", clock)
    assert heard(door, clock, ["10.0.0.1"], 600) < 25  # 60,000 were made
    assert guess(door, "10.0.0.1", "secret") == "wait", "else it could go on guessing"
    assert guess(door, "10.0.0.2", "secret") == "in", "others are let in"
    clock.now += 61
    assert guess(door, "10.0.0.1", "secret") == "in"
    assert guess(door, "10.0.0.1") == "wrong", "all is forgiven to who knows it"


def test_guesses_from_many_addresses_become_rare_too():
    clock = Clock()
    door = Door("alice", "secret", clock)
    assert guess(door, "10.9.9.9", "secret") == "in"
    many = [f"10.0.{i // 250}.{i % 250}" for i in range(20_000)]
    assert heard(door, clock, many, 300) < 10 * FREE + 100  # of 30,000
    assert guess(door, "10.9.9.9", "secret") == "in", "its owner is let in where she was before"
    assert len(door.addresses._made) <= REMEMBERED and len(door.names._made) <= REMEMBERED


def test_a_name_that_is_not_there_is_slowed_down_the_same():
    counts = []
    for name in ("alice", "nobody"):
        clock = Clock()
        counts.append(heard(Door("alice", "secret", clock), clock, [f"10.0.0.{i}" for i in range(250)], 60, name))
    assert counts[0] == counts[1]


def test_names_and_addresses_are_not_kept_without_end():
    clock = Clock()
    door = Door("alice", "secret", clock)
    for i in range(3 * REMEMBERED):
        guess(door, f"10.0.0.{i}", name=f"name {i}")
    assert len(door.addresses._made) == REMEMBERED and len(door.names._made) <= REMEMBERED
    assert guard._network("2001:db8::1:2") == guard._network("2001:db8::ffff:1") != guard._network("2001:db8:1::1")


def test_half_a_character_is_no_password():
    assert guess(Door("alice", "secret", Clock()), "10.0.0.1", "\ud800", "\ud800") == "wrong"


# --- the page itself -------------------------------------------------------------------------------------------------


class Site:
    """The whole page, served in this process."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        make_tiny_voice(folder / "voices" / "tiny", seed=0)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        own = [f"voices=[{folder / 'voices'}]", "voice=tiny", "webui.device=cpu", f"webui.port={port}", "threads=1"]
        kept = [f"glossary={folder / 'words.txt'}", f"history={folder / 'history'}"]
        settings = load_settings(overrides=[*own, *kept, *overrides], environment={})
        self.files = Files()
        self.blocks = webui.lay_out(Engine(settings), self.files)
        webui.launch(self.blocks, self.files, settings)
        self.port = urlsplit(self.blocks.local_url).port
        self.contract = guard.Contract(self.blocks)
        self.client = httpx.Client(base_url=self.blocks.local_url, timeout=60, trust_env=False)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, httpx.Headers, bytes]:
        answer = self.client.request(method, path, content=body or None, headers=headers)
        return answer.status_code, answer.headers, answer.content

    def post(self, path: str, value: object) -> tuple[int, bytes]:
        status, _, body = self.ask("POST", path, json.dumps(value).encode(), **{"content-type": "application/json"})
        return status, body

    def close(self) -> None:
        self.client.close()
        self.blocks.close(verbose=False)
        self.files.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def locked(tmp_path_factory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("locked"), "user=alice", "password=secret")
    yield running
    running.close()


def test_what_the_page_does_not_use_is_not_there(site, capfd):
    """All of Gradio's addresses but the few of ROUTES."""
    source = Path(gradio.routes.__file__).read_text("utf-8")
    served = re.findall(r'@(app|router)\.(get|post|head)\(\s*f?"([^"]*)"', source)
    kept = 0
    for owner, method, pattern in served:
        path = (API if owner == "router" else "") + re.sub(r"\{[^}]*\}", "x", pattern)
        ours = any(one.method == method.upper() and guard._fits(one.path, path.removesuffix("/")) for one in ROUTES)
        kept += ours
        assert ours or site.ask(method.upper(), path)[0] == 404, (method, path)
    assert len(served) > 60 and len(ROUTES) - 3 <= kept <= 24, "Gradio's addresses are others now"
    for path in ("/openapi.json", "/docs", "/redoc", "/config", "/logout", f"{API}/info", f"{API}/openapi.json"):
        assert site.ask("GET", path)[0] == 404
    assert site.ask("OPTIONS", SERVER, origin="http://evil.example")[0] == 404
    assert site.ask("GET", f"{API}/custom_component/said-by-a-stranger/client/x/y")[0] == 404
    told = capfd.readouterr()
    assert told.out + told.err == ""


WRONG = [
    None,
    True,
    0,
    -1,
    2**70,
    1e300,
    "",
    "x",
    "\ud800",
    "\0",
    "x" * 3000,
    [],
    [None],
    [[]],
    {},
    {"x": None},
    [{}] * 9,
]


def calls(site: Site, source: random.Random) -> Iterator[tuple[str, object]]:
    """Every server function and event with values of the wrong type, as a whole, in parts, and in their frames."""
    frame = {"session_hash": "fuzz1"}
    for id, name in sorted(site.contract.functions):
        asked = ASKS[name]
        keys = [key.rstrip("?") for key in asked] if isinstance(asked, dict) else []
        mixed = [{key: source.choice(WRONG) for key in keys} for _ in range(12)] if keys else []
        for value in (*WRONG, *mixed):
            yield SERVER, frame | {"component_id": id, "fn_name": name, "data": value}
    for id in site.contract.events:
        count = len(site.blocks.fns[id].inputs)
        data = [source.choice(WRONG), *([source.choice(WRONG) for _ in range(count)] for _ in range(12))]
        for path in (f"{API}/run/predict", f"{API}/queue/join"):
            for value in data:
                told = source.choice([None, {}, {"voice": source.choice(WRONG)}, 3])
                yield (
                    path,
                    frame | {"fn_index": id, "data": value, "event_data": told, "trigger_id": source.choice([0, 4])},
                )
    good = frame | {
        "component_id": 1,
        "fn_name": "value",
        "fn_index": 0,
        "trigger_id": 0,
        "event_data": None,
        "data": [],
    }
    for path in (SERVER, f"{API}/run/predict", f"{API}/queue/join", "/login"):
        for key in good:
            for value in WRONG:
                yield path, good | {key: value}
        for value in WRONG:
            yield path, value


def test_values_of_the_wrong_type_are_refused(site, capfd, monkeypatch):
    """Thousands of calls: no failure of the server, no traceback in the terminal."""
    monkeypatch.setattr(webui.device.DeviceTab, "test", lambda _: None)  # a self-test takes long and is no harm
    assert {name for _, name in site.contract.functions} <= set(ASKS), "a function without a type"
    made = 0
    for path, value in calls(site, random.Random(1)):
        status, body = site.post(path, value)
        made += 1
        assert status < 500, (path, value, status, body)
        assert b"Something went wrong" not in body, (path, value, body)
    assert made > 1000
    told = capfd.readouterr()
    assert told.out + told.err == ""


def test_bytes_that_are_no_request_leave_no_word_in_the_terminal(locked, capfd):
    words = b"said-by-a-stranger"
    for sent in (
        b"\x16\x03\x01" + words,
        b"GET /" + words + b"\r\n\r\n",
        b"GET / HTTP/1.0\r\nOrigin: http://" + words + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br;q=" + words + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: =;;\xff;a\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\nContent-Type: multipart/form-data\r\n\r\n" + words,
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\nContent-Type: text/plain\r\n\r\n" + words,
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"GET /" + words * 6000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", locked.port), timeout=60) as connection:
            connection.sendall(sent)
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = connection.recv(4096)
            assert not answer.startswith(b"HTTP/1.1 5"), (sent[:80], answer)
    told = capfd.readouterr()
    assert told.out + told.err == ""


def sign_in(site: Site, password: str, **headers: str) -> tuple[int, httpx.Headers]:
    form = urlencode({"username": "alice", "password": password}).encode()
    told = {"content-type": "application/x-www-form-urlencoded"} | headers
    site.client.cookies.clear()
    answer = site.ask("POST", "/login", form, **told)[:2]
    site.client.cookies.clear()
    return answer


def test_signing_in_and_out(locked):
    for path in (f"{API}/heartbeat/x", "/made/x/y.wav", f"{API}/queue/data?session_hash=x"):
        assert locked.ask("GET", path)[0] == 401
    status, headers = sign_in(locked, "secret")
    cookie = headers["set-cookie"]
    assert status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "none" not in cookie
    own = {"cookie": re.match(r"[^;]*", cookie)[0]}
    assert locked.ask("GET", "/made/x/y.wav", **own)[0] == 404, "let in, and the file is not there"
    assert locked.ask("GET", "/logout", **own)[0] == 404
    assert locked.ask("POST", "/logout", origin="http://evil.example", **own)[0] == 403
    assert locked.ask("GET", "/made/x/y.wav", **own)[0] == 404, "still let in"
    assert locked.ask("POST", "/logout", **own)[0] == 204
    assert locked.ask("GET", "/made/x/y.wav", **own)[0] == 401


def test_an_answer_at_once_tells_nobody_what_another_has_said(site):
    """What was said is found again by the browser that has said it, and made anew for all others."""
    studio = next(block for block in site.blocks.blocks.values() if hasattr(block, "speak"))
    text = {"text": "这是一个秘密。", "speaker": "甲"}

    def say(cookie: str) -> bool:
        """Whether it was made just now."""
        frame = {"session_hash": "s1", "component_id": studio._id}
        own = {"content-type": "application/json", "cookie": f"listener={cookie}"}

        def call(name: str, data: dict) -> dict:
            body = json.dumps(frame | {"fn_name": name, "data": data}).encode()
            return json.loads(site.ask("POST", SERVER, body, **own)[2])

        run, parts, done = call("speak", {"listener": cookie, "requests": [text]})["run"], [], False
        while not done:
            got = call("pieces", {"run": run, "next": len(parts)})
            parts, done = [*parts, *got["parts"]], got["done"]
        return any("timings" in part for part in parts)

    mine, theirs = "m" * 22, "t" * 22
    assert [say(mine), say(mine), say(theirs), say(theirs), say(mine)] == [True, False, True, False, False]


def test_no_object_of_the_server_is_named():
    with pytest.raises(BadRequest) as told:
        audio.encode(np.zeros(9, np.float32), 7, "mp3")
    assert "_io" not in f"{told.value} {told.value.message.say('zh')}" and "only supports sample rates" in str(
        told.value
    )


def test_before_signing_in_the_page_tells_nothing(locked):
    _, headers, body = locked.ask("GET", "/")
    assert b"tiny" not in body and b"batch_read" not in body
    assert re.search("script-src 'self' 'nonce-[-_0-9A-Za-z]{20,}' 'unsafe-eval'", headers["content-security-policy"])
    assert len(re.findall(rb"<script(?! nonce=)[\s>]", body)) == 0


def test_guesses_at_the_page_are_slowed_down(locked):
    statuses = [sign_in(locked, f"guess {i}") for i in range(FREE + 3)]
    assert [status for status, _ in statuses[:FREE]] == [400] * FREE
    assert statuses[-1][0] == 429 and int(statuses[-1][1]["retry-after"]) >= 1
    locked.blocks.app.auth.addresses._made._values.clear()
    assert sign_in(locked, "secret")[0] == 200
