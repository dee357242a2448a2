"""Users known by a verified token, callers known by their certificate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import kube, users
from lab.client import Door
from lab.kube import Object
from lab.processes import wait_until
from lab.scenario import Scenario, render
from lab.tokens import Issuer
from lab.users import crowd

USERS = crowd(150)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Whom the gateway believes."""
    return Issuer(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def tokens(issuer: Issuer) -> dict[str, str]:
    """Everybody's token."""
    return {user: issuer.token(user) for user in USERS}


@pytest.fixture
def authenticated(demo: Scenario, issuer: Issuer, tmp_path: Path) -> Iterator[Scenario]:
    """The demo at 50 %, with tests/mesh/scenarios/jwt.yaml at its gateway."""
    documents = render("tests/mesh/scenarios/jwt.yaml")
    documents[0]["spec"]["jwtRules"][0]["jwks"] = issuer.jwks()
    (tmp_path / "jwt.yaml").write_text(yaml.safe_dump_all(documents))
    demo.set_weight(50)
    demo.add(tmp_path / "jwt.yaml")
    forged = bearer(issuer.token("alice") + "x")
    wait_until("the gateway to check tokens", lambda: demo.gateway().ask(None, headers=forged).status == 401)
    yield demo


def bearer(token: str) -> dict[str, str]:
    """How a client sends a token."""
    return {"authorization": f"Bearer {token}"}


def with_tokens(door: Door, tokens: dict[str, str]) -> Door:
    """The door, for users who show a token and nothing else."""
    door.identify = lambda user: bearer(tokens[user])
    return door


def identified_by(demo: Scenario, *sources: Object) -> Object:
    """Apply the demo's policy with other sources of identity; the policy."""
    policy = demo.policy
    policy["revision"] += 1
    policy["rollouts"][0]["identity"] = list(sources)
    demo.set_policy(policy)
    return policy


def assert_no_bad_token_is_an_identity(demo: Scenario, issuer: Issuer, tmp_path: Path) -> None:
    """Refused by Istio, whoever would have been whom; and no token at all is nobody."""
    gateway = demo.gateway()
    insider = next(user for user, version in demo.expected(USERS).items() if version == demo.version("canary"))
    good = issuer.token(insider)
    head, claims, signature = good.split(".")
    bad = {
        "another's key": Issuer(tmp_path).token(insider),
        "another issuer": Issuer(tmp_path, "https://login.other.example").token(insider),
        "expired": issuer.token(insider, exp=int(time.time()) - 3600),
        "not yet": issuer.token(insider, nbf=int(time.time()) + 3600),
        "for somebody else": issuer.token(insider, aud="billing"),
        "unsigned": issuer.token(insider, algorithm="none"),
        "another's claims": f"{head}.{issuer.token('mallory').split('.')[1]}.{signature}",
        "no signature": f"{head}.{claims}.",
        "cut off": good[:-20],
        "no token": "canary",
    }
    for what, token in bad.items():
        answer = gateway.ask(None, headers=bearer(token))
        assert (answer.status, answer.version) in ((401, None), (403, None)), f"{what}: {answer.status} {answer.version}"
        print(f"{what}: {answer.status} {answer.body[:60]}")
    assert gateway.ask(None, headers=bearer(good)).version == demo.version("canary")
    for sent in ({}, {"authorization": "Basic YTpi"}, {"authorization": f"Basic {good}"}, {"cookie": f"token={good}"}):
        assert gateway.ask(None, headers=sent).version == demo.version("stable"), sent


def test_a_verified_claim_handed_on_as_a_header_is_the_identity_everywhere(
        authenticated: Scenario, issuer: Issuer, tokens: dict[str, str], tmp_path: Path) -> None:
    """`outputClaimToHeaders`: the gateway's filter, the application and the sidecars behind see who the token names."""
    identified_by(authenticated, {"header": "x-user-id"})
    expected = authenticated.expected(USERS)
    gateway = with_tokens(authenticated.gateway(), tokens)
    gateway.await_versions(expected)
    answers = gateway.ask_all(USERS)
    assert {user: a.headers_at_application["x-user-id"] for user, a in answers.items()} == {u: u for u in USERS}
    assert authenticated.sidecar().versions(USERS) == expected      # a service that hands the header on
    assert_no_bad_token_is_an_identity(authenticated, issuer, tmp_path)


def test_a_client_that_sends_the_header_of_the_claim_itself(
        authenticated: Scenario, tokens: dict[str, str]) -> None:
    """Whoever they claim to be by the header: with a token they are who the token says, without one nobody."""
    expected = authenticated.expected(USERS)
    insider = next(user for user, version in expected.items() if version == authenticated.version("canary"))
    gateway = with_tokens(authenticated.gateway(), tokens)
    gateway.await_versions(expected)
    claimed = {"x-user-id": insider}
    for user, answer in gateway.ask_all(USERS[:60], claimed).items():
        assert answer.version == expected[user]
        assert answer.headers_at_application["x-user-id"] == user
    answer = gateway.ask(None, headers=claimed)
    assert answer.version == authenticated.version("stable")
    assert "x-user-id" not in answer.headers_at_application
    # Removed early, as the README advises: before authentication, so that the claim's header is still handed on.
    removal = authenticated.find("EnvoyFilter", "coalmine-early-removal")["spec"]["configPatches"][0]["patch"]["value"]
    extension = removal["typed_config"]["early_header_mutation_extensions"][0]["typed_config"]
    extension["mutations"].append({"remove": "x-user-id"})
    authenticated.apply("EnvoyFilter")
    kube.kubectl("delete", "requestauthentication", "users", "-n", "istio-ingress")
    nobody = dict.fromkeys(USERS[:60], authenticated.version("stable"))
    Door("gateway", None, gateway.address, gateway.host).await_versions(nobody)     # without authentication, too
    authenticated.apply("RequestAuthentication")
    gateway.await_versions(expected)
    assert gateway.versions(USERS[:60], claimed) == {user: expected[user] for user in USERS[:60]}


def test_a_verified_claim_is_the_identity_at_the_gateway_itself(
        authenticated: Scenario, issuer: Issuer, tokens: dict[str, str], tmp_path: Path) -> None:
    """`jwtClaim`, in the phase after authentication: no header is needed, none is believed."""
    header = authenticated.policy
    policy = identified_by(authenticated, {"jwtClaim": "sub"})
    expected = authenticated.expected(USERS, header)
    assert users.assign(policy, USERS) == users.assign(header, USERS)
    gateway = with_tokens(authenticated.gateway(), tokens)
    gateway.await_versions(expected)
    insider = next(user for user, version in expected.items() if version == authenticated.version("canary"))
    wait_until("the header to count no more", lambda: gateway.ask(
        None, headers={"x-user-id": insider}).version == authenticated.version("stable"))
    assert gateway.versions(USERS, {"x-user-id": insider}) == expected
    assert_no_bad_token_is_an_identity(authenticated, issuer, tmp_path)
    # A caller's sidecar has no verified claims: there everybody is stable.
    sidecar = with_tokens(authenticated.sidecar(), tokens)
    sidecar.await_versions(dict.fromkeys(USERS, authenticated.version("stable")))


def test_two_callers_of_a_gateway_are_known_by_their_certificates(demo: Scenario) -> None:
    """`peer`, at a gateway with ISTIO_MUTUAL: whatever they send besides, the SPIFFE id says where they belong."""
    demo.add("tests/mesh/scenarios/peer.yaml")
    demo.await_ready()
    host = "internal.istio-ingress.svc.cluster.local"
    callers = {name: f"spiffe://cluster.local/ns/shop/sa/{name}" for name in ("caller", "billing")}
    doors = {name: demo.sidecar(host, selector=f"app={name}") for name in callers}
    policy = demo.policy
    policy["rollouts"][0]["match"]["hosts"].append(host)
    policy["rollouts"][0]["identity"] = [{"peer": True}]
    policy["rollouts"][0]["variants"][0]["weight"] = 50
    seen = set()
    for salt in ("three", "five", "eight"):
        policy["revision"] += 1
        policy["rollouts"][0]["salt"] = salt
        expected = demo.expected(list(callers.values()), policy)
        demo.set_policy(policy)
        for name, identity in callers.items():
            doors[name].await_versions({"": expected[identity]})
        for name, identity in callers.items():
            for sent in ({}, {"x-user-id": "alice"}, {"x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/x/sa/y"}):
                assert {doors[name].ask(None, headers=sent).version for _ in range(5)} == {expected[identity]}
        seen.add(tuple(expected.values()))
        print(salt, expected)
    assert len(seen) == 3       # both on canary, one, none
