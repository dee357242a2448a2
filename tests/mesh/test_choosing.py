"""A client that tries to choose its variant, through the gateway and from inside the mesh: it gets its draw, or less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import users
from lab.client import Door
from lab.scenario import Scenario, sample
from lab.users import crowd
from lab.wire import Fields, exchange, exchange_http2

ROUTE = "x-coalmine-variant"
OVERRIDE = "x-coalmine-override"
SECRET = "a-secret-of-the-lab-that-no-client-ever-sees"
# At a time: most of them wait, for a proxy that takes its time to close.
EXCHANGES = 8


@pytest.fixture
def attacked(demo: Scenario) -> Iterator[Scenario]:
    """The demo at 5 %, with signed overrides."""
    policy = demo.policy
    policy["revision"] += 1
    policy["rollouts"][0] |= {"variants": [{"name": "canary", "weight": 5}],
                              "override": {"header": OVERRIDE, "cookie": "coalmine-override", "secret": SECRET}}
    demo.set_policy(policy)
    for door in (demo.gateway(), demo.sidecar()):
        door.await_versions(sample(demo.expected(crowd(300))))
    yield demo


def people(demo: Scenario) -> dict[str, str]:
    """Somebody whom the policy sends to stable, and somebody whom it sends to the canary, with their versions."""
    return sample(demo.expected(crowd(300)), of_each=1)


def wrong_tokens(demo: Scenario) -> list[str]:
    """Tokens that somebody made without the secret, or for something else, or spoilt."""
    def minted(**change: object) -> str:
        rollout = {**demo.policy["rollouts"][0], **change}
        return users.token({**demo.policy, "rollouts": [rollout]}, "canary", "--for", "10m")
    good = minted()
    version, _, _, expiry, mac = good.split(".")
    return [minted(override={"header": OVERRIDE, "secret": "another secret, as long as the right one"}),
            minted(name="payment"), f"{version}.checkout.canary.{int(expiry) + 60}.{mac}", good[:-1], good + "=",
            good.upper(), "canary", "", f"{version}.checkout.canary.{expiry}."]


def headers(demo: Scenario) -> Iterator[tuple[str, str]]:
    """Header lines to add to an honest request: what is tried, and the lines."""
    for value in ("canary", "CANARY", "", "stable, canary", "\"canary\""):
        for name in (ROUTE, "X-Coalmine-Variant", "X-COALMINE-VARIANT", "x_coalmine_variant", "X-Coalmine_Variant"):
            yield f"{name} says {value!r}", f"{name}: {value}\r\n"
        yield f"{value!r} twice", f"{ROUTE}: {value}\r\nX-Coalmine-Variant: canary\r\n"
        yield f"{value!r} and more", f"{ROUTE}: stable\r\n{ROUTE}: {value}\r\n{ROUTE}: canary\r\n"
    for what, lines in {
            "a blank before the colon": f"{ROUTE} : canary\r\n",
            "a folded line": f"x-a: b\r\n {ROUTE}: canary\r\n",
            "a bare line feed": f"x-a: b\n{ROUTE}: canary\r\n",
            "a bare carriage return": f"x-a: b\r{ROUTE}: canary\r\n",
            "a NUL": f"{ROUTE}: can\0ary\r\n",
            "named in Connection": f"connection: {ROUTE}\r\n{ROUTE}: canary\r\n",
            "named in Connection, not sent": f"connection: keep-alive, {ROUTE}\r\n",
            "named with TE": f"connection: te, {ROUTE}\r\nte: trailers\r\n{ROUTE}: canary\r\n",
            "other headers of ours": "x-coalmine-cluster: canary\r\nx-coalmine-bucket: 0\r\n",
            "headers of proxies": "x-envoy-original-path: /canary\r\nx-envoy-internal: true\r\nx-forwarded-host: canary\r\n"
                                  "x-envoy-decorator-operation: canary\r\nx-canary: always\r\n",
            "labels of the mesh": "x-istio-attributes: canary\r\nx-envoy-peer-metadata: canary\r\n"
                                  "baggage: x-coalmine-variant=canary\r\n",
            "cookies": f"cookie: {ROUTE}=canary; canary=always; coalmine-id=canary\r\n",
            "another user's cookie": "cookie: session=somebody-else\r\n",
            "an upgrade": f"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\n{ROUTE}: canary\r\n",
    }.items():
        yield what, lines
    for token in wrong_tokens(demo):
        yield f"token {token}", f"{OVERRIDE}: {token}\r\n"
        yield f"token {token} in a cookie", f"cookie: a=b; coalmine-override={token}\r\n"


def requests(demo: Scenario, door: Door) -> Iterator[tuple[str, str, bool]]:
    """What is tried, the request of user {u}, and whether the user may come out as nobody, who is stable."""
    host = door.host

    def request(line: str, lines: str, body: str = "", named: str = "x-user-id: {u}\r\n") -> str:
        return f"{line} HTTP/1.1\r\nhost: {host}\r\n{named}{lines}connection: close\r\n\r\n{body}"
    for what, lines in headers(demo):
        yield what, request("GET /", lines), False
    if door.name != "gateway":
        return      # inside, another host is another service, and there is more than one way to it
    for target in (f"/?{ROUTE}=canary&variant=canary", f"/?%0d%0a{ROUTE}:%20canary", f"/;{ROUTE}=canary", "/#canary",
                   f"http://{host}/", "http://canary/", f"http://canary@{host}/", f"{host}:80", "/%2e%2e/canary"):
        yield target, request(f"GET {target}", f"{ROUTE}: canary\r\n"), False
    yield "two hosts", request("GET /", "host: canary\r\n"), False
    yield "HTTP/1.0", f"GET / HTTP/1.0\r\nhost: {host}\r\nx-user-id: {{u}}\r\n{ROUTE}: canary\r\n\r\n", False
    yield "CONNECT", request("CONNECT canary:80", ""), False
    inner = f"GET / HTTP/1.1\r\nhost: {host}\r\nx-user-id: {{u}}\r\n{ROUTE}: canary\r\n\r\n"
    chunked = "transfer-encoding: chunked\r\n"
    for what, lines, body in (
            ("trailers", f"{chunked}trailer: {ROUTE}\r\n", f"1\r\nx\r\n0\r\n{ROUTE}: canary\r\n\r\n"),
            ("another user in the trailers", chunked, "1\r\nx\r\n0\r\nx-user-id: canary\r\n\r\n"),
            ("a chunk's extension", chunked, f"1;{ROUTE}=canary\r\nx\r\n0\r\n\r\n"),
            ("a length and chunks", f"content-length: 200\r\n{chunked}", f"0\r\n\r\n{inner}"),
            ("two lengths", "content-length: 0\r\ncontent-length: 200\r\n", inner),
            ("a request behind", "content-length: 0\r\n", inner)):
        yield what, request("POST /", lines, body), False
    yield "nobody", request("GET /", f"{ROUTE}: canary\r\n", named=""), True
    yield "the identity named in Connection", request("GET /", "connection: x-user-id\r\n"), True
    yield "a second identity", request("GET /", "x-user-id: {u}\r\n"), True


def http2_requests(demo: Scenario, host: str, user: str) -> Iterator[tuple[str, Fields, bytes | None, Fields]]:
    """What is tried over HTTP/2: the fields, the body, the trailers."""
    start = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/"), ("x-user-id", user)]
    for what, fields in {
            "nothing": [], "the route header": [(ROUTE, "canary")], "twice": [(ROUTE, "stable"), (ROUTE, "canary")],
            "capitals": [("X-Coalmine-Variant", "canary")], "underscores": [("x_coalmine_variant", "canary")],
            "a line break in a value": [("x-a", f"b\r\n{ROUTE}: canary")],
            "a line break in a name": [(f"x-a: b\r\n{ROUTE}", "canary")], "a colon": [(f"{ROUTE}:", "canary")],
            "a blank": [(f"{ROUTE} ", "canary")], "a pseudo-header": [(f":{ROUTE}", "canary")],
            "two paths": [(":path", "/canary")], "a host too": [("host", "canary")],
            "Connection": [("connection", ROUTE), (ROUTE, "canary")],
            "a wrong token": [(OVERRIDE, wrong_tokens(demo)[0])],
            "its cookie, in crumbs": [("cookie", "a=b"), ("cookie", f"coalmine-override={wrong_tokens(demo)[0]}")],
    }.items():
        yield what, [*start, *fields], None, ()
    post = [(":method", "POST"), *start[1:]]
    yield "trailers", post, b"x", [(ROUTE, "canary")]
    yield "trailers of another user", post, b"x", [("x-user-id", "canary"), (ROUTE, "canary")]


def versions(answer: str) -> list[str]:
    """The versions that answered on a connection."""
    return re.findall(r'"version": "([^"]+)"', answer)


def test_over_http1_nobody_chooses(attacked: Scenario) -> None:
    """Whatever is sent, by whichever door: the draw, stable for somebody without an identity, or a refusal."""
    stable = attacked.version("stable")
    for door in (attacked.gateway(), attacked.sidecar()):
        served = refused = 0
        tried = [(what, text.replace("{u}", user).encode(), may_be_nobody, drawn)
                 for what, text, may_be_nobody in requests(attacked, door)
                 for user, drawn in people(attacked).items()]
        with ThreadPoolExecutor(EXCHANGES) as pool:
            answers = list(pool.map(lambda attempt: exchange(door, attempt[1]), tried))
        for (what, _, may_be_nobody, drawn), answer in zip(tried, answers, strict=True):
            for version in versions(answer):
                assert version == drawn or (may_be_nobody and version == stable), f"{door.name}, {what}: {answer}"
            if versions(answer):
                served += 1
            else:
                status = answer.split(" ")[1] if " " in answer else "closed"
                assert status not in ("500", "502", "503"), f"{door.name}, {what}: {answer}"
                refused += 1
        print(f"{door.name}, HTTP/1.1: {served} served by their draw, {refused} refused")
        assert served > 2 * refused


def test_over_http2_nobody_chooses(attacked: Scenario) -> None:
    """The same, with fields that no library would send."""
    door = attacked.gateway()
    served = refused = 0
    tried = [(drawn, *request) for user, drawn in people(attacked).items()
             for request in http2_requests(attacked, door.host, user)]

    def is_honest(what: str) -> bool:
        return what in ("nothing", "trailers", "the route header")
    with ThreadPoolExecutor(EXCHANGES) as pool:
        answers = list(pool.map(lambda attempt: exchange_http2(
            door, *attempt[2:], seconds=10 if is_honest(attempt[1]) else 2), tried))
    for (drawn, what, *_), answer in zip(tried, answers, strict=True):
        told = versions(answer)
        assert not told or told == [drawn], f"{what}: {answer}"
        served, refused = served + len(told), refused + (not told)
        assert told or not is_honest(what), f"{what}: {answer}"
    print(f"gateway, HTTP/2: {served} served by their draw, {refused} refused")


def test_the_right_token_is_what_chooses(attacked: Scenario) -> None:
    """So that the refusals above mean something: by header and by cookie, at both doors."""
    user = next(user for user, version in people(attacked).items() if version == attacked.version("stable"))
    good = users.token(attacked.policy, "canary", "--for", "10m")
    for door in (attacked.gateway(), attacked.sidecar()):
        for sent in ({OVERRIDE: good}, {"cookie": f"a=b; coalmine-override={good}"}):
            assert door.ask(user, headers=sent).version == attacked.version("canary")
