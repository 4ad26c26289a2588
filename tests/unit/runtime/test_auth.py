"""A token is good or it is a 401 with one plain sentence; nothing else can come out of a verifier."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime import auth
from shared.runtime.auth import Principal, Verifier, bearer, require_role
from shared.runtime.problems import Problem
from shared.runtime.settings import AuthSettings
from shared.runtime.token_keys import KeySource
from tests.unit.runtime.tokens import NOW, StillClock, gate, jwk, jwks, pem, token


def refusal(verifier: Verifier, text: str) -> str:
    with pytest.raises(Problem) as refused:
        verifier.verify(text)
    assert (refused.value.status, refused.value.code) == (401, "UNAUTHENTICATED")
    assert refused.value.headers["WWW-Authenticate"] == "Bearer"
    return refused.value.detail


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_good_token_names_its_member(tmp_path: Path, algorithm: str) -> None:
    principal = (await gate(tmp_path)).verifier.verify(text := token(algorithm, algorithm))
    assert principal == Principal("acme", "m-1", "agent", "Ann", NOW + timedelta(seconds=600))
    assert principal.token == text
    assert text not in repr(principal)


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": int(NOW.timestamp()) - 60}, "The token has expired."),
        ({"exp": None}, "The token lacks the claim `exp`."),
        ({"exp": "soon"}, "The token's times cannot be read."),
        ({"exp": 10**30}, "The token's times cannot be read."),
        ({"nbf": int(NOW.timestamp()) + 60}, "The token is not valid yet."),
        ({"aud": "another"}, "The token is for another audience."),
        ({"aud": None}, "The token lacks the claim `aud`."),
        ({"iss": "another"}, "The token is of another issuer."),
        ({"iss": None}, "The token lacks the claim `iss`."),
        ({"sub": None}, "The token's claim `sub` is missing or not a text."),
        ({"sub": "a" * 256}, "The token's claim `sub` is missing or not a text."),
        ({"sub": "a\x00b"}, "The token's claim `sub` is missing or not a text."),
        ({"workspace": None}, "The token's claim `workspace` is missing or not a text."),
        ({"workspace": "Acme"}, "The token's workspace is not a slug of a-z, 0-9 and -."),
        ({"workspace": "acme\n"}, "The token's claim `workspace` is missing or not a text."),
        ({"workspace": ["acme"]}, "The token's claim `workspace` is missing or not a text."),
        ({"role": "admin"}, "The token's role is none of owner, manager, agent."),
        ({"role": None}, "The token's role is none of owner, manager, agent."),
        ({"role": ["owner"]}, "The token's role is none of owner, manager, agent."),
    ],
)
async def test_a_wrong_claim_is_refused_with_its_sentence(
    tmp_path: Path, claims: dict[str, Any], sentence: str
) -> None:
    assert refusal((await gate(tmp_path)).verifier, token(**claims)) == sentence


async def test_a_token_without_a_signature_is_refused(tmp_path: Path) -> None:
    text = jwt.encode({"sub": "m-1"}, "", "none", headers={"kid": "EdDSA"})
    assert refusal((await gate(tmp_path)).verifier, text) == "The token's algorithm does not fit its key."


async def test_a_public_key_used_as_a_shared_secret_is_refused(tmp_path: Path) -> None:
    header, body = ({"alg": "HS256", "kid": "RS256", "typ": "JWT"}, {"sub": "m-1"})
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, body)]
    signed = b".".join(parts)
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(digest.sign(signed, pem("RS256"))).rstrip(b"=")
    text = (signed + b"." + signature).decode()
    assert refusal((await gate(tmp_path)).verifier, text) == "The token's algorithm does not fit its key."


async def test_another_keys_signature_is_refused(tmp_path: Path) -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    assert refusal((await gate(tmp_path)).verifier, token(key=stranger)) == "The token's signature does not verify."


async def test_a_key_is_only_good_for_its_own_algorithm(tmp_path: Path) -> None:
    verifier = (await gate(tmp_path)).verifier
    assert refusal(verifier, token("ES256", kid="EdDSA")) == "The token's algorithm does not fit its key."


@pytest.mark.parametrize(
    ("kid", "sentence"),
    [(None, "The token names no key (`kid`)."), ("new", "The token is signed with a key that we do not know.")],
)
async def test_a_token_of_no_known_key_is_refused(tmp_path: Path, kid: str | None, sentence: str) -> None:
    assert refusal((await gate(tmp_path)).verifier, token(kid=kid)) == sentence


@given(text=st.text(max_size=300) | st.text("eyJ0._-[{\x00\u00e9", max_size=300))
async def test_any_text_is_a_401(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    refusal((await gate(tmp_path_factory.getbasetemp())).verifier, text)


async def test_a_deeply_nested_header_is_a_401(tmp_path: Path) -> None:
    header = base64.urlsafe_b64encode(b'{"kid":' + b"[" * 3000).decode()
    refusal((await gate(tmp_path)).verifier, f"{header}.e30.AAAA")
    refusal((await gate(tmp_path)).verifier, "e" * 9000)


async def test_a_verified_token_is_remembered_until_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door, text = await gate(tmp_path), token()
    door.verifier.verify(text)
    monkeypatch.setattr(jwt, "decode", lambda *args, **options: pytest.fail("verified twice"))
    door.verifier.verify(text)
    door.clock.advance(700)
    assert refusal(door.verifier, text) == "The token has expired."


async def test_a_withdrawn_key_ends_remembered_tokens(tmp_path: Path) -> None:
    door, text = await gate(tmp_path), token()
    door.verifier.verify(text)
    door.path.write_bytes(jwks(jwk("RS256", "RS256")))
    await door.keys.refresh()
    assert refusal(door.verifier, text) == "The token is signed with a key that we do not know."


async def test_remembered_tokens_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 3)
    door = await gate(tmp_path)
    for n in range(10):
        door.verifier.verify(token(sub=f"m-{n}"))
    assert len(door.verifier._known) == 3


async def test_claim_names_are_settings(tmp_path: Path) -> None:
    door = await gate(
        tmp_path,
        jwt_claim_member="oid",
        jwt_claim_workspace="tenant",
        jwt_claim_role="relaydesk/role",
        jwt_claim_name="nick",
        jwt_issuer="https://idp.example",
        jwt_audience="support",
    )
    own = {"oid": "o-1", "tenant": "globex", "relaydesk/role": "owner", "nick": "Bo"}
    principal = door.verifier.verify(token(iss="https://idp.example", aud=["x", "support"], **own))
    assert (principal.workspace, principal.member_id) == ("globex", "o-1")
    assert (principal.role, principal.name) == ("owner", "Bo")


async def test_a_member_without_a_name_is_shown_by_id(tmp_path: Path) -> None:
    verifier = (await gate(tmp_path)).verifier
    assert verifier.verify(token(name=None)).name == "m-1"
    assert verifier.verify(token(name=" ")).name == "m-1"
    assert len(verifier.verify(token(name="x" * 900)).name) == 200


async def test_before_the_first_keys_the_answer_is_unavailable_not_refused(tmp_path: Path) -> None:
    config = AuthSettings(jwt_jwks_url="http://127.0.0.1:9/jwks")
    with pytest.raises(Problem) as refused:
        Verifier(config, KeySource(config), StillClock()).verify(token())
    assert (refused.value.status, refused.value.code) == (503, "UNAVAILABLE")


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer  ", "token"])
def test_without_a_bearer_token_the_answer_says_what_to_send(header: str | None) -> None:
    with pytest.raises(Problem, match="Send `Authorization: Bearer <token>`"):
        bearer(header)


def test_the_scheme_is_read_in_any_case() -> None:
    assert bearer("bearer abc ") == "abc"


def test_a_role_that_may_not_is_told_which_may() -> None:
    agent = Principal("acme", "m-1", "agent", "Ann", NOW)
    require_role(agent, frozenset({"agent", "owner"}))
    with pytest.raises(Problem, match="needs the role owner or manager; yours is agent") as refused:
        require_role(agent, frozenset({"owner", "manager"}))
    assert (refused.value.status, refused.value.code) == (403, "FORBIDDEN")
