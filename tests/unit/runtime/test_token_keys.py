"""Keys come from a file or a URL, are read again now and then, and never per request."""

import asyncio
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import OKPAlgorithm

from shared.runtime import token_keys
from shared.runtime.faults import Transient
from shared.runtime.settings import AuthSettings, SettingsError
from shared.runtime.token_keys import BadKeys, KeySource, parse_keys
from shared.testing.eventually import eventually
from tests.unit.runtime.tokens import PRIVATE, gate, jwk, jwks, pem, token


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_pem_key_answers_to_every_kid(tmp_path: Path, algorithm: str) -> None:
    door = await gate(tmp_path, pem(algorithm))
    assert door.verifier.verify(token(algorithm, kid="whatever")).member_id == "m-1"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not keys",
        b"[]",
        b"{}",
        b'{"keys": 5}',
        b'{"keys": []}',
        b'{"keys": [5]}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"}]}',
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        pem("RS256") + pem("ES256"),
        PRIVATE["EdDSA"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        jwks({**jwk("EdDSA", "e"), "use": "enc"}),
        jwks({key: value for key, value in jwk("EdDSA", "e").items() if key != "kid"}),
        jwks(jwk("RS256", "small", rsa.generate_private_key(65537, 1024))),
    ],
)
def test_a_document_without_a_usable_key_is_refused(document: bytes) -> None:
    with pytest.raises(BadKeys):
        parse_keys(document)


def test_unusable_keys_beside_a_usable_one_are_passed_over() -> None:
    other_curve = jwk("ES256", "p384", ec.generate_private_key(ec.SECP384R1())) | {"alg": "ES384"}
    keys, sole = parse_keys(jwks({"kty": "oct", "k": "AAAA", "kid": "s"}, other_curve, jwk("RS256", "r")))
    assert (set(keys), sole) == ({"r"}, None)


def test_a_private_key_in_a_jwks_is_used_for_its_public_half() -> None:
    private = json.loads(OKPAlgorithm.to_jwk(PRIVATE["EdDSA"]))
    keys, _ = parse_keys(jwks({**private, "kid": "k", "alg": "EdDSA"}))
    assert keys["k"].public == PRIVATE["EdDSA"].public_key()


@pytest.mark.parametrize("content", [None, b"nonsense"])
async def test_a_file_that_cannot_be_used_ends_the_start_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="RELAYDESK_JWT_KEYS"):
        await KeySource(AuthSettings(jwt_keys=path)).start()


async def test_an_unreachable_url_is_waited_for() -> None:
    with pytest.raises(Transient, match="JWKS"):
        await KeySource(AuthSettings(jwt_jwks_url="http://127.0.0.1:9/jwks")).start()


class Issuer:
    """Serves a JWKS document over HTTP and counts how often it is read."""

    def __init__(self) -> None:
        self.document, self.reads = jwks(jwk("EdDSA", "first")), 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.reads += 1
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.document) + self.document)
        writer.close()


async def test_a_new_key_of_the_issuer_is_found_soon_and_the_url_is_not_asked_per_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_keys, "RETRY_S", 0.3)
    monkeypatch.setattr(token_keys, "FETCH_TIMEOUT_S", 60.0)
    issuer = Issuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keys = KeySource(AuthSettings(jwt_jwks_url=f"http://127.0.0.1:{port}/jwks"))
    await keys.start()
    try:
        assert all(keys.find("first") for _ in range(1000))
        assert issuer.reads == 1
        issuer.document = jwks(jwk("EdDSA", "second"))
        for _ in range(1000):
            keys.find("second")
        assert issuer.reads == 1
        await eventually(lambda: keys.find("second"), "the new key")
        assert keys.find("first") is None
        assert issuer.reads <= 3
    finally:
        await keys.stop()
        server.close()
        await server.wait_closed()


async def test_keys_outlive_an_outage_of_the_issuer(tmp_path: Path) -> None:
    door = await gate(tmp_path)
    door.path.write_bytes(b"half a docu")
    with pytest.raises(BadKeys):
        await door.keys.refresh()
    assert door.verifier.verify(token()).member_id == "m-1"
