"""packaging/: the unit files and the Containerfile, as far as files can tell; and what they promise of the program."""

import json
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_command

from steelyard.cli.main import app
from steelyard.core.spec import HealthCheckSpec, ListenerSpec, LocalSpec, PoolSpec, Spec

ROOT: Final = Path(__file__).parents[2]
PACKAGING: Final = ROOT / "packaging"
PAGE: Final = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
KILLED_AFTER_S: Final = 5.0  # what the supervisor grants beyond the drain
INSTALLED: Final = "/opt/steelyard/bin/steelyard"
# Of Docker's reference: what the Containerfile uses, so that a slip of the pen is found.
INSTRUCTIONS: Final = {
    "FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
}  # fmt: skip


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """A unit file: section -> key -> its values in order."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in (PACKAGING / name).read_text(encoding="utf-8").splitlines():
        if not line or line[0] in "#;":
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
            continue
        key, equals, value = line.partition("=")
        assert equals, line
        assert section, line
        found[section][key].append(value)
    return found


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)s", text)
    assert found is not None, text
    return float(found[1])


def parsed(command: list[str]) -> dict[str, object]:
    """The parameters of a command of ours; fails where it has no such options."""
    group = get_command(app)
    context = group.make_context("steelyard", command)
    sub = group.get_command(context, command[0])  # type: ignore[attr-defined]  # a group, by its type only a command
    return dict(sub.make_context(command[0], command[1:]).params)


def test_the_service_is_what_the_program_expects() -> None:
    service = unit("steelyard.service")["Service"]
    assert ["notify"] == service["Type"]
    assert ["main"] == service["NotifyAccess"]
    assert ["mixed"] == service["KillMode"]
    assert ["steelyard"] == service["RuntimeDirectory"]
    local = LocalSpec("serve {port}", None, 0)
    assert seconds(service["TimeoutStopSec"][0]) > Spec((), ()).drain_timeout_s + KILLED_AFTER_S + local.stop_timeout_s
    assert seconds(service["WatchdogSec"][0]) >= 10, "a busy machine is no program that hangs"
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert "PrivateUsers" not in service, "a capability of a user namespace opens no port of the machine"
    assert "root" not in service["User"]


@pytest.mark.parametrize("key", ["ExecStart", "ExecReload"])
def test_what_the_service_runs_are_commands_that_there_are(key: str) -> None:
    (line,) = unit("steelyard.service")["Service"][key]
    program, *command = shlex.split(line.replace("$MAINPID", "1234"))
    assert INSTALLED == program
    given = parsed(command)
    if key == "ExecStart":
        assert Path("/etc/steelyard/balancer.yaml") == given["config"]
    else:
        assert {"pid": 1234} == given


def test_the_socket_is_that_of_a_listener() -> None:
    socket = unit("steelyard.socket")["Socket"]
    assert ["web"] == socket["FileDescriptorName"]
    assert [str(ListenerSpec("web", "", 80, ()).backlog)] == socket["Backlog"]
    assert "Accept" not in socket, "the program accepts for itself"
    assert ["sockets.target"] == unit("steelyard.socket")["Install"]["WantedBy"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here; the keys are checked above")
def test_systemd_finds_nothing_to_say(tmp_path: Path) -> None:
    for name in ("steelyard.service", "steelyard.socket"):
        text = (PACKAGING / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(INSTALLED, "/bin/true"), encoding="utf-8")
    command = ["systemd-analyze", "verify", "steelyard.service", "steelyard.socket"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "steelyard" in line]
    assert (0, []) == (done.returncode, said), done.stderr


def instructions() -> list[tuple[str, str]]:
    text = (PACKAGING / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_container_is_built_from_what_is_there() -> None:
    found = instructions()
    assert {word for word, _ in found} <= INSTRUCTIONS
    assert "FROM" == found[0][0]
    stages = {name[1] for word, rest in found if word == "FROM" and (name := re.search(r" AS (\w+)$", rest))}
    for word, rest in found:
        if word == "COPY":
            option, *parts = shlex.split(rest)
            if option.startswith("--from="):
                assert option.removeprefix("--from=") in stages
            else:
                assert all((ROOT / source).exists() for source in [option, *parts][:-1]), rest
    needed = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "src"}
    copied = {part for word, rest in found if word == "COPY" for part in rest.split()}
    assert needed <= copied, "what the build reads"


def test_the_container_runs_the_balancer_as_its_process_1_and_nobody_as_root() -> None:
    found = instructions()
    last = dict(found[[word for word, _ in found].index("FROM", 1) :])
    assert "SIGTERM" == last["STOPSIGNAL"]
    assert last["USER"].isdigit(), "a name would not do for runAsNonRoot"
    assert "0" != last["USER"]
    entry, command = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    assert ["steelyard"] == entry, "a shell would be process 1, and keep the signals for itself"
    assert Path("/etc/steelyard/balancer.yaml") == parsed(command)["config"]
    health = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert "steelyard" == health[0]
    parsed(health[1:])


@pytest.mark.parametrize("name", ["steelyard.service", "steelyard.socket", "Containerfile"])
def test_the_page_about_production_speaks_of_it(name: str) -> None:
    assert f"packaging/{name}" in PAGE


def test_the_page_says_the_numbers_that_the_program_has() -> None:
    check = PoolSpec("web", ()).health_check
    assert isinstance(check, HealthCheckSpec)
    assert f"every {check.interval_s:g} s" in PAGE
    assert f"`drain_timeout` ({Spec((), ()).drain_timeout_s:g} s" in PAGE
