"""docker-compose.yml and Dockerfile, checked without a container engine, which CI lacks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from winnow.app.setting_defaults import ServerSettings
from winnow.app.settings import PREFIX, Settings
from winnow.server.security import Access
from winnow.server.tokens import TokenBook

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def _schema_check(file: Path) -> tuple[int, str]:
    checked = CliRunner().invoke(
        check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(file)], catch_exceptions=False
    )
    return checked.exit_code, checked.output


def test_the_compose_file_is_valid() -> None:
    """docker-compose.yml fits the compose specification's schema."""
    code, output = _schema_check(COMPOSE)
    assert code == 0, output


def test_the_check_can_fail(tmp_path: Path) -> None:
    """The schema check refuses a file with an unknown key."""
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text(encoding="utf-8").replace("healthcheck:", "helthcheck:"), "utf-8")
    assert _schema_check(broken)[0] != 0


def test_the_server_has_the_clients_minor_version(compose: dict[str, Any]) -> None:
    """The pinned Qdrant and the installed qdrant-client share major and minor."""
    image = compose["services"]["qdrant"]["image"]
    pinned = re.fullmatch(r"docker\.io/qdrant/qdrant:v(\d+\.\d+)\.\d+", image)
    assert pinned is not None, image
    assert pinned[1] == ".".join(version("qdrant-client").split(".")[:2])


def test_nothing_listens_beyond_the_loopback(compose: dict[str, Any]) -> None:
    """Qdrant without a key, and the server without TLS, are published on 127.0.0.1 alone."""
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert {name: len(published) for name, published in ports.items()} == {
        "qdrant": 2,
        "winnow": 0,
        "first-token": 0,
        "serve": 1,
    }
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)


@pytest.mark.parametrize("service", ["winnow", "first-token", "serve"])
def test_a_container_has_no_more_than_it_needs(compose: dict[str, Any], service: str) -> None:
    """No capability, no way to more, and a bound on memory and processes; Qdrant gains no rights either."""
    chosen = compose["services"][service]
    assert chosen["cap_drop"] == ["ALL"]
    assert chosen["security_opt"] == ["no-new-privileges:true"]
    assert chosen["mem_limit"]
    assert chosen["pids_limit"]
    assert compose["services"]["qdrant"]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", ["winnow", "serve"])
def test_winnow_waits_for_qdrant_and_knows_its_address(compose: dict[str, Any], service: str) -> None:
    """winnow starts when Qdrant is ready, under the address that the environment variable names."""
    winnow = compose["services"][service]
    assert winnow["depends_on"]["qdrant"]["condition"] == "service_healthy"
    assert winnow["environment"]["WINNOW_STORE__URL"] == "http://qdrant:6333"
    assert any(str(volume).endswith(":/documents:ro") for volume in winnow["volumes"])
    assert {"qdrant", "winnow"} <= compose["volumes"].keys()


def test_every_variable_is_a_setting_of_ours(compose: dict[str, Any]) -> None:
    """The WINNOW_ variables of the compose file and of the image name settings that exist."""
    services = ("winnow", "serve")
    named = {variable for service in services for variable in compose["services"][service]["environment"]}
    named |= set(re.findall(r"\b(WINNOW_\w+)=", DOCKERFILE.read_text(encoding="utf-8")))
    assert named >= {"WINNOW_STORE__URL", "WINNOW_SERVER__HOST", "WINNOW_DATA_DIR"}
    for variable in named:
        fields: Any = Settings.model_fields
        for part in variable.removeprefix(PREFIX).lower().split("__"):
            assert part in fields, variable
            fields = getattr(fields[part].annotation, "model_fields", {})


def test_what_the_image_copies_is_there() -> None:
    """Every file that the Dockerfile copies exists and is let through by .dockerignore."""
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    names = [name.rstrip("/") for line in copied for name in line.split()]
    passed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "storage" in names
    for name in names:
        assert (ROOT / name).exists(), name
        assert {f"!{name}", f"!{name}/"} & set(passed), name


def test_the_image_holds_every_package_of_the_wheel() -> None:
    """No package of pyproject.toml is missing from the image, and it runs as an ordinary user."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    packages = re.search(r"^packages = \[(.+)\]$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert packages is not None
    for package in re.findall(r'"(\w+)"', packages[1]):
        assert f"COPY {package}/ {package}/" in text
    [user] = re.findall(r"--uid (\d+) winnow", text)
    assert text.index(f"USER {user}") < text.index('ENTRYPOINT ["winnow"]')


def test_the_server_asks_for_tokens_and_has_its_extra(compose: dict[str, Any]) -> None:
    """In its container the server listens to others, so it requires tokens; the image has the extra."""
    serve = compose["services"]["serve"]
    host = serve["environment"]["WINNOW_SERVER__HOST"]
    assert Access.of(host, (), TokenBook(ROOT / "no tokens")).tokens is not None
    assert serve["command"] == ["serve"]
    assert serve["ports"][0].endswith(f":{ServerSettings().port}")
    assert '".[server]"' in DOCKERFILE.read_text(encoding="utf-8")


def test_torch_in_the_image_has_the_projects_bounds() -> None:
    """The image installs torch within pyproject.toml's bounds, from an index that is an argument."""
    bounds = re.search(r'"(torch>=[^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert bounds is not None
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert f'"${{TORCH_INDEX}}" "{bounds[1]}"' in text


class _Ready(BaseHTTPRequestHandler):
    """A server that is ready or, by `status`, not yet."""

    status = 200
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class _NotReady(_Ready):
    status = 503


def _health(compose: dict[str, Any], service: str, port: int) -> int:
    command, *arguments = compose["services"][service]["healthcheck"]["test"][1:]
    script = arguments[-1].replace("$$", "$").replace("6333", str(port)).replace("8765", str(port))
    command = sys.executable if command == "python" else command
    return subprocess.run(
        [command, *arguments[:-1], script], check=False, capture_output=True, timeout=20
    ).returncode


@pytest.mark.skipif(shutil.which("bash") is None, reason="Qdrant's health check is bash's")
@pytest.mark.parametrize("service", ["qdrant", "serve"])
@pytest.mark.parametrize(("handler", "healthy"), [(_Ready, True), (_NotReady, False)])
def test_the_health_check_asks_whether_the_service_is_ready(
    compose: dict[str, Any], service: str, handler: type[_Ready], healthy: bool
) -> None:
    """The check passes on a ready server, and fails on one that is not ready or not there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        answered = _health(compose, service, server.server_port)
        server.shutdown()
        thread.join()
    assert (answered == 0) is healthy
    assert _health(compose, service, server.server_port) != 0
