"""System 2: two replicas of a FastAPI application, from examples/fastapi; with containers as far as files can tell."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from steelyard.control import config
from tests.real.support import free_ports
from tests.systems.programs import EXAMPLES, HOST, PATIENCE_S, PATIENT_CHECKS, ROOT, Program, get, program, variant

EXAMPLE = EXAMPLES / "fastapi"


class Stage:
    """run.py with its replicas. port: the balancer's; replicas: theirs."""

    def __init__(self, running: Program, replicas: list[int]) -> None:
        self.running = running
        self.port = running.port()
        self.replicas = replicas

    def who(self) -> str:
        """Which replica answers."""
        return str(json.loads(get(self.port).text)["host"])


@contextmanager
def stage(tmp_path: Path, **changes: str) -> Iterator[Stage]:
    """The example, but for how long a check may take. changes: as for `variant`."""
    config_file = variant(EXAMPLE / "steelyard.yaml", tmp_path / "it.yaml", checks=PATIENT_CHECKS, **changes)
    replicas = free_ports(2)
    places = {f"REPLICA_{number}": f"localhost:{port}" for number, port in enumerate(replicas, 1)}
    with program(EXAMPLE / "run.py", config_file, LISTEN=f"{HOST}:0", **places) as running:
        yield Stage(running, replicas)


@pytest.mark.real
def test_the_example_runs_without_containers(tmp_path: Path) -> None:
    """One start for all that is promised of it: two replicas take a second or two to come up."""
    with stage(tmp_path) as on:
        assert ["replica-1", "replica-2", "replica-1", "replica-2"] == [on.who() for _ in range(4)]
        assert {"host", "message"} == json.loads(get(on.port).text).keys()

        own = get(on.port, "/health")
        assert (200, "OK", "text/plain") == (own.status, own.text, own.fields["Content-Type"])
        assert [{"status": "ok"}] * 2 == [json.loads(get(port, "/health").text) for port in on.replicas]

        told = {"host": "shop.example", "x-real-ip": HOST, "x-forwarded-for": HOST, "x-forwarded-proto": "http"}
        assert told == json.loads(get(on.port, "/seen", Host="shop.example").text)
        forged = get(on.port, "/seen", Host="shop.example", X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="https")
        assert told == json.loads(forged.text)
        assert 404 == get(on.port, "/healthy").status

        assert 0 == on.running.end(signal.SIGINT)
        assert not [line for line in on.running.rest() if "Traceback" in line]
        for port in on.replicas:
            with socket.socket() as sock:
                assert 0 != sock.connect_ex((HOST, port)), "a replica outlived the balancer"


@pytest.mark.real
@pytest.mark.parametrize(
    ("policy", "expected"),
    [("round_robin", ["other", "busy", "other", "busy"]), ("least_connections", ["other", "other", "other", "other"])],
)
def test_one_word_switches_round_robin_to_least_connections(tmp_path: Path, policy: str, expected: list[str]) -> None:
    with stage(tmp_path, word=f"policy: round_robin -> policy: {policy}") as on:
        busy = http.client.HTTPConnection(HOST, on.port, timeout=PATIENCE_S)
        # Half a request: its replica is busy until the other half comes, and `100 Continue` says that it has begun.
        busy.putrequest("POST", "/words")
        busy.putheader("Content-Length", "11")
        busy.putheader("Expect", "100-continue")
        busy.endheaders()
        assert busy.sock.recv(1024).startswith(b"HTTP/1.1 100 ")
        others = [on.who() for _ in range(4)]
        busy.send(b"hello again")
        answer = json.loads(busy.getresponse().read())
        busy.close()
        assert 2 == answer["words"]
        assert expected == ["busy" if name == answer["host"] else "other" for name in others]


@pytest.mark.real
def test_the_balancer_starts_the_replicas_itself(tmp_path: Path) -> None:
    """From a file and one command; a killed replica costs no request, and none is left afterwards."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    run = ("-m", "steelyard", "run", "-c", EXAMPLE / "steelyard.local.yaml")
    with program(*run, LISTEN=f"{HOST}:0", PATH=path, RUNTIME_DIRECTORY=str(tmp_path)) as running:
        port = running.port()
        names = [json.loads(get(port).text)["host"] for _ in range(4)]
        assert ({"replica-0", "replica-1"}, names[:2]) == (set(names), names[2:])
        own = get(port, "/health")
        assert (200, "OK", "text/plain") == (own.status, own.text, own.fields["Content-Type"])
        told = {"host": "shop.example", "x-real-ip": HOST, "x-forwarded-for": HOST, "x-forwarded-proto": "http"}
        assert told == json.loads(get(port, "/seen", Host="shop.example").text)

        status = [sys.executable, "-m", "steelyard", "status", "--json"]
        environ = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}
        found = json.loads(subprocess.check_output(status, env=environ))["locals"]
        os.kill(found[0]["pid"], signal.SIGKILL)
        asked: list[int] = []
        while json.loads((reply := get(port)).text)["host"] != "replica-0" or len(asked) < 20:
            asked.append(reply.status)
        assert {200} == set(asked)

        left = [one["pid"] for one in json.loads(subprocess.check_output(status, env=environ))["locals"]]
        assert found[1]["pid"] == left[1]
        assert 0 == running.end(signal.SIGINT)
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()], "a replica outlived the balancer"
        assert not [line for line in running.rest() if "Traceback" in line]


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text(encoding="utf-8"))
    return content


def dockerfile(service: dict[str, Any]) -> tuple[Path, list[tuple[str, str]]]:
    """The build context of a service and its Dockerfile's instructions."""
    context = (EXAMPLE / service["build"]["context"]).resolve()
    text = (context / service["build"]["dockerfile"]).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return context, [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


# Of the Compose specification and of Docker's reference: what these files use, so that a slip of the pen is found.
SERVICE_KEYS = {"build", "environment", "ports", "depends_on", "hostname", "healthcheck"}
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD"}


@pytest.mark.parametrize("name", ["balancer", "app1", "app2"])
def test_a_container_is_built_from_what_is_there_and_starts_what_it_has(name: str) -> None:
    service = compose()["services"][name]
    assert service.keys() <= SERVICE_KEYS
    context, instructions = dockerfile(service)
    assert {word for word, _ in instructions} <= INSTRUCTIONS
    assert "FROM" == instructions[0][0]
    assert "CMD" == instructions[-1][0]
    stages = {found[1] for word, rest in instructions if word == "FROM" and (found := re.search(r" AS (\w+)$", rest))}
    for word, rest in instructions:
        if word == "COPY":
            option, *parts = shlex.split(rest)
            if option.startswith("--from="):
                assert option.removeprefix("--from=") in stages
            else:
                assert all((context / source).exists() for source in [option, *parts][:-1]), rest
    command = json.loads(instructions[-1][1])
    assert command[0] == ("steelyard" if name == "balancer" else "uvicorn")


def test_the_containers_fit_together() -> None:
    services = compose()["services"]
    balancer = services["balancer"]
    assert {"app1", "app2"} == balancer["depends_on"].keys()
    assert all({"condition": "service_healthy"} == asked for asked in balancer["depends_on"].values())
    spec = config.load(EXAMPLE / "steelyard.yaml", balancer["environment"])
    _, instructions = dockerfile(services["app1"])
    exposed = dict(instructions)["EXPOSE"]
    assert [f"{app}:{exposed}" for app in ("app1", "app2")] == [backend.address for backend in spec.pools[0].backends]
    assert exposed in json.loads(dict(instructions)["CMD"])
    assert [f"8080:{spec.listeners[0].port}"] == balancer["ports"]
    assert "0.0.0.0" == spec.listeners[0].host, "a published port leads to an outer address of the container"


@pytest.mark.slow
def test_the_balancers_image_has_all_that_its_installation_reads(tmp_path: Path) -> None:
    """A wheel is built of nothing but what its Dockerfile copies (without compiling, which is tested elsewhere)."""
    _, instructions = dockerfile(compose()["services"]["balancer"])
    first = next(at for at, (word, rest) in enumerate(instructions) if word == "RUN" and "pip wheel" in rest)
    for word, rest in instructions[:first]:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    unbuilt = shutil.ignore_patterns("*.so", "*.c", "*.egg-info", "__pycache__")
                    shutil.copytree(ROOT / source, tmp_path / target, ignore=unbuilt)
                else:
                    shutil.copy(ROOT / source, tmp_path / target)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", "."]
    environ = {**os.environ, "STEELYARD_COMPILE": "0"}
    built = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert 0 == built.returncode, built.stderr
    (wheel,) = (tmp_path / "wheels").glob("steelyard-*.whl")
    with zipfile.ZipFile(wheel) as files:
        assert "steelyard/cli/run.py" in files.namelist()
