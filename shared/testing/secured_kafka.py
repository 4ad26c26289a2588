"""A real Kafka as companies run it: TLS, SASL (SCRAM, OAuth) and access control lists that deny what is not granted."""

import ipaddress
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.contracts.rights import Grant
from shared.engines.kafka import Kafka
from shared.engines.ports import LOOPBACK, free_ports

OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11}
RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
PATTERNS = {"literal": 3, "prefix": 4}
ALLOW = 3
ISSUER, AUDIENCE, KEY_ID = "https://issuer.test", "kafka", "1"
LOGIN = "org.apache.kafka.common.security"
VALIDATOR = f"{LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test, and one server certificate for the loopback address. Paths of PEM files."""

    ca_file: Path
    chain: str
    key: str

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca = _certificate("test authority", "test authority", ca_key, ca_key, x509.BasicConstraints(True, None))
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
        server = _certificate("test broker", "test authority", key, ca_key, names)
        ca_file = folder / "ca.pem"
        ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return cls(ca_file, server.public_bytes(Encoding.PEM).decode(), private)


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(signer, hashes.SHA256())
    )


class TokenIssuer:
    """Signs tokens as an OAuth issuer does; the broker reads its keys from a file."""

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.jwks_file = folder / "jwks.json"
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks_file.write_text(json.dumps({"keys": [public | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}]}))

    def token(self, subject: str, lifetime_s: float = 60.0) -> str:
        now = int(time.time())
        claims = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + int(lifetime_s)}
        return jwt.encode(claims, self._key, "RS256", {"kid": KEY_ID})


class SecuredKafka(Kafka):
    """`port` takes SASL_SSL, with SCRAM-SHA-512 for `users` (name -> password) and OAuth; nothing is allowed ungranted.

    `admin_url` is a plain listener whose clients may do anything: for the test itself.
    """

    def __init__(self, folder: Path, cache: Path, users: dict[str, str]) -> None:
        port, controller, self._admin_port = free_ports(3)
        super().__init__(folder, folder / "logs", port, controller, cache)
        self.authority, self.issuer = Authority.make(folder), TokenIssuer(folder)
        self._users = users

    @property
    def admin_url(self) -> str:
        return f"{LOOPBACK}:{self._admin_port}"

    def listener_settings(self) -> dict[str, str]:
        scram, oauth = (f"listener.name.sasl_ssl.{name}" for name in ("scram-sha-512", "oauthbearer"))
        return {
            "listeners": f"SASL_SSL://{LOOPBACK}:{self.port},ADMIN://{LOOPBACK}:{self._admin_port},"
            f"CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"SASL_SSL://{LOOPBACK}:{self.port},ADMIN://{LOOPBACK}:{self._admin_port}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,ADMIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "ADMIN",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            f"{scram}.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            f"{oauth}.sasl.jaas.config": f"{LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
            f"{oauth}.sasl.server.callback.handler.class": VALIDATOR,
            f"{oauth}.sasl.oauthbearer.jwks.endpoint.url": self.issuer.jwks_file.as_uri(),
            f"{oauth}.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{oauth}.sasl.oauthbearer.expected.issuer": ISSUER,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": _one_line(self.authority.chain),
            "ssl.keystore.key": _one_line(self.authority.key),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }

    def jvm_options(self) -> list[str]:
        return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.issuer.jwks_file.as_uri()}"]

    def format_options(self) -> list[str]:
        return [
            part
            for name, password in self._users.items()
            for part in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]

    async def grant(self, user: str, grants: Iterable[Grant], prefix: str = "") -> None:
        """Access control lists; topic and group names get `prefix`."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.admin_url)
        await admin.start()
        try:
            for grant in grants:
                for request in _requests(user, grant, prefix):
                    answer = await admin._client.send(admin._client.get_random_node(), request)
                    assert answer.creation_responses[0][0] == 0, answer
        finally:
            await admin.close()


def _one_line(pem: str) -> str:
    """As a Java properties file takes it."""
    return pem.strip().replace("\n", "\\n")


def _requests(user: str, grant: Grant, prefix: str) -> list[CreateAclsRequest]:
    name = grant.name if grant.resource == "cluster" else prefix + grant.name
    where = (RESOURCES[grant.resource], name, PATTERNS[grant.pattern], f"User:{user}", "*")
    return [CreateAclsRequest(*where, OPERATIONS[operation], ALLOW) for operation in grant.operations]
