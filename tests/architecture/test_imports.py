"""Who may import whom (DESIGN 13), and that importing does nothing."""

import ast
import subprocess
import sys
import textwrap

import pytest

from tests.architecture.modules import PRODUCT, ROOT, Module, modules

CLIENT_LIBRARIES = frozenset(
    {"aiokafka", "faststream", "motor", "pymongo", "bson", "gridfs", "minio", "urllib3", "certifi", "aiohttp", "picows"}
    | {"jwt", "cryptography", "uvicorn", "uvloop", "prometheus_client", "requests", "httpx", "opentelemetry"}
)
"""What opens connections, or belongs to what does. Plain vocabulary (FastAPI, orjson, structlog) is not here."""

SERVERS = {"services.gateway.stream": frozenset({"picows"})}
"""picows serves the stream as FastAPI serves the API: its listeners are classes of the service's own."""

ALL = modules(*PRODUCT)
SERVICES = modules("services")
CORES = [module for module in SERVICES if module.name.split(".")[2:3] == ["core"]]
"""`core.py`, or the modules of a package `core/`."""


def service_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else None


def violations(found: dict[str, set[str]]) -> str:
    return "\n".join(f"{name}: {', '.join(sorted(imports))}" for name, imports in sorted(found.items()))


def test_services_never_import_each_other() -> None:
    found = {
        module.name: foreign
        for module in SERVICES
        if (foreign := {name for name in module.imports if service_of(name) not in (None, service_of(module.name))})
    }
    assert not found, violations(found)


def test_shared_code_knows_no_service_and_only_the_command_knows_them_all() -> None:
    found = {
        module.name: known
        for module in modules("shared")
        if (known := {name for name in module.imports if name.partition(".")[0] in ("services", "relaydesk", "tests")})
    }
    assert not found, violations(found)


def test_contracts_import_pydantic_and_the_standard_library_only() -> None:
    found: dict[str, set[str]] = {}
    for module in modules("shared/contracts"):
        bad = set(module.libraries) - {"pydantic", "pydantic_core"}
        bad |= {
            name for name in module.imports if name.startswith("shared.") and not name.startswith("shared.contracts")
        }
        if bad:
            found[module.name] = bad
    assert not found, violations(found)


def pure_part(core: Module) -> list[Module]:
    """A core and the modules of its own service that it imports, however far: all of it must be pure."""
    own = {module.name: module for module in SERVICES if service_of(module.name) == service_of(core.name)}
    reached, waiting = {core.name: core}, [core]
    while waiting:
        for name in waiting.pop().imports:
            target = own.get(name) or own.get(name.rpartition(".")[0])
            if target is not None and target.name not in reached:
                reached[target.name] = target
                waiting.append(target)
    return list(reached.values())


@pytest.mark.parametrize("core", CORES, ids=lambda module: module.name)
def test_a_core_imports_the_standard_library_and_contracts_only(core: Module) -> None:
    found: dict[str, set[str]] = {}
    for module in pure_part(core):
        foreign = {name for name in module.imports if name.startswith("shared.") and "contracts" not in name.split(".")}
        impure = {name for name in module.imports if name.partition(".")[0] in IMPURE}
        if bad := foreign | impure | set(module.libraries):
            found[module.name] = bad
    assert not found, violations(found)


IMPURE = frozenset(
    {"asyncio", "threading", "socket", "random", "secrets", "os", "time", "logging", "subprocess", "urllib", "http"}
)
"""Of the standard library: what waits, talks, makes ids or reads clocks. A core is handed such things."""


def clients_of(module: Module) -> set[str]:
    """The client libraries that a module imports and should not."""
    if module.name.startswith(("shared.runtime", "shared.testing", "shared.engines", "relaydesk")):
        return set()
    if module.name.startswith("services.") and module.name.endswith(".app"):
        return set()
    allowed = {name for folder, names in SERVERS.items() if module.name.startswith(folder) for name in names}
    return set(module.libraries & CLIENT_LIBRARIES) - allowed


def test_client_libraries_are_imported_by_composition_roots_and_the_runtime_only() -> None:
    found = {module.name: clients for module in ALL if (clients := clients_of(module))}
    assert not found, violations(found)


def test_the_stream_holds_no_database() -> None:
    """So a storm of reconnecting clients can't cost the database anything."""
    stream = [module for module in SERVICES if module.name.startswith("services.gateway.stream")]
    found = {
        module.name: databases
        for module in stream
        if (databases := {name for name in module.imports if ".store" in name or "mongo" in name or "motor" in name})
    }
    assert len(stream) > 10
    assert not found, violations(found)


def test_motor_is_imported_in_one_module() -> None:
    assert {module.name for module in ALL if "motor" in module.libraries} <= {"shared.runtime.mongo"}


def test_opentelemetry_is_imported_in_one_module_and_by_none_at_the_start() -> None:
    users = {module.name for module in ALL if "opentelemetry" in module.libraries}
    assert {name for name in users if not name.startswith("shared.testing")} == {"shared.runtime.trace_export"}
    at_import = {
        module.name
        for module in ALL
        if any(
            isinstance(node, ast.ImportFrom) and node.module == "shared.runtime.trace_export"
            for node in module.tree.body
        )
    }
    assert {name for name in at_import if not name.startswith("shared.testing")} == set()


def test_the_core_of_routing_knows_nothing_of_traces() -> None:
    core = [module for module in SERVICES if module.name.startswith("services.routing.core")]
    assert len(core) > 5
    assert not [module.name for module in core if "trace" in ast.unparse(module.tree)]


def test_the_environment_is_read_by_settings_and_by_what_starts_processes_only() -> None:
    allowed = ("shared.runtime.settings", "shared.engines", "shared.testing", "relaydesk")
    found = {
        module.name: {"os.environ"}
        for module in ALL
        if not module.name.startswith(allowed) and any(_reads_environment(node) for node in ast.walk(module.tree))
    }
    assert not found, violations(found)


def _reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "putenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(alias.name in ("environ", "getenv") for alias in names)
        case _:
            return False


WATCHED_IMPORT = """
    import importlib, sys, threading
    from contextlib import suppress

    def watch(event, arguments):
        if watching and event in ("socket.__new__", "subprocess.Popen", "os.fork"):
            raise RuntimeError(f"{event} at the import of {name}")

    def refuse(thread):
        raise RuntimeError(f"a thread at the import of {name}")

    libraries, ours = (names.split(",") for names in sys.argv[1:3])
    watching = False
    sys.addaudithook(watch)
    for name in libraries:
        with suppress(ImportError):  # a class or a function: `from library import Name`
            importlib.import_module(name)
    watching, threading.Thread.start = True, refuse
    for name in ours:
        importlib.import_module(name)
"""


def test_importing_any_module_opens_no_socket_and_starts_no_thread_or_process() -> None:
    libraries = {name for module in ALL for name in module.imports if name.partition(".")[0] in module.libraries}
    libraries |= {name.rpartition(".")[0] for name in libraries if "." in name}
    names = [module.name for module in ALL if not module.name.endswith("__main__")]
    program = [sys.executable, "-W", "error", "-c", textwrap.dedent(WATCHED_IMPORT)]
    done = subprocess.run(
        [*program, ",".join(sorted(libraries)), ",".join(sorted(names))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
