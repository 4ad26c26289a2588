"""Settings are read once; a wrong, missing or unknown name is said at start, with what to do."""

import pytest

from shared.runtime.settings import (
    AuthSettings,
    InstallationSecrets,
    Port,
    S3Settings,
    Settings,
    SettingsError,
    reject_unknown,
)

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


class Everything(Settings, AuthSettings, S3Settings, InstallationSecrets):
    gateway_http_port: Port = 0


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Everything.variables():
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "RELAYDESK_ID_NAMESPACE": "5d4e2a3c-7f0a-4f9e-8f7c-1d2e3f4a5b6c",
        "RELAYDESK_SECRETS_KEY": KEY,
        "RELAYDESK_S3_ACCESS_KEY": "a",
        "RELAYDESK_S3_SECRET_KEY": "very-secret",
        "RELAYDESK_JWT_KEYS": "/keys.json",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_settings_come_from_the_environment_and_are_frozen(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("RELAYDESK_GATEWAY_HTTP_PORT", "8123")
    settings = Everything.load()
    assert settings.gateway_http_port == 8123
    assert settings.kafka == "127.0.0.1:9092"
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "kafka", "other")  # noqa: B010 - the type checker refuses it too


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RELAYDESK_MONGO_DRIVER", "mysql", "'motor' or 'pymongo'"),
        ("RELAYDESK_GATEWAY_HTTP_PORT", "70000", "less than or equal to 65535"),
        ("RELAYDESK_SECRETS_KEY", "c2hvcnQ=", "openssl rand -base64 32"),
        ("RELAYDESK_ID_NAMESPACE", "not-a-uuid", "uuidgen"),
        ("RELAYDESK_S3", "127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("RELAYDESK_TOPIC_PREFIX", "with space", "pattern"),
        ("RELAYDESK_TRACES_ENDPOINT", "collector:4318", "expected an address"),
        ("RELAYDESK_TRACES_ENDPOINT", "http://collector:4318", "http://127.0.0.1:4318/v1/traces"),
        ("RELAYDESK_TRACES_SAMPLE", "1.5", "less than or equal to 1"),
        ("RELAYDESK_TRACES_HEADERS", "authorization: token", "name=value"),
    ],
)
def test_a_wrong_value_is_named_with_advice_and_not_shown(
    environ: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    environ.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        Everything.load()
    assert str(refused.value).startswith(f"{name}: ")
    assert says in str(refused.value)
    if "SECRET" in name or "NAMESPACE" in name:
        assert value not in str(refused.value)


def test_every_missing_variable_is_named_at_once(environ: pytest.MonkeyPatch) -> None:
    environ.delenv("RELAYDESK_SECRETS_KEY")
    environ.delenv("RELAYDESK_S3_ACCESS_KEY")
    with pytest.raises(SettingsError) as refused:
        Everything.load()
    assert {line.partition(":")[0] for line in str(refused.value).splitlines()} == {
        "RELAYDESK_SECRETS_KEY",
        "RELAYDESK_S3_ACCESS_KEY",
    }


@pytest.mark.parametrize("both", [True, False])
def test_there_must_be_exactly_one_source_of_token_keys(environ: pytest.MonkeyPatch, both: bool) -> None:
    if both:
        environ.setenv("RELAYDESK_JWT_JWKS_URL", "https://issuer.example/jwks")
    else:
        environ.delenv("RELAYDESK_JWT_KEYS")
    with pytest.raises(SettingsError, match="exactly one of RELAYDESK_JWT_KEYS"):
        Everything.load()


def test_an_unknown_variable_is_refused_with_the_closest_known_name() -> None:
    with pytest.raises(SettingsError) as refused:
        reject_unknown({"RELAYDESK_MONGO_DRIVR": "motor", "RELAYDESK_XYZZY": "1", "HOME": "/"}, [Everything])
    lines = str(refused.value).splitlines()
    assert lines[0] == "RELAYDESK_MONGO_DRIVR: no such setting; did you mean RELAYDESK_MONGO_DRIVER?"
    assert lines[1].startswith("RELAYDESK_XYZZY: no such setting; remove it")


def test_a_setting_of_any_service_is_known_to_all_and_test_variables_are_not_ours() -> None:
    class Other(Settings):
        routing_cache: int = 1

    environ = {"RELAYDESK_ROUTING_CACHE": "2", "RELAYDESK_S3": "x", "RELAYDESK_TEST_MONGO": "x", "RELAYDESK_INFO": "x"}
    reject_unknown(environ, [Other, Everything])


def test_no_representation_shows_a_secret(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("RELAYDESK_MONGO", "mongodb://user:passw0rd@db/")
    shown = repr(Everything.load())
    assert "very-secret" not in shown
    assert KEY not in shown
    assert "passw0rd" not in shown
