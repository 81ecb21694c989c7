"""tools/system_packages.sh and find_python.sh: they say what is missing and how to get it, and install only as root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent / "tools"
pytestmark = pytest.mark.slow
# The interpreter itself: a shim in its place would look for the programs that the tests take away.
PYTHON = Path(sys.executable).resolve()
# What the scripts themselves call.
BASE = ("bash", "env", "printf", "id", "rm", "chmod", "sleep")
WITH_STREAM = "echo configure arguments: --with-stream --with-threads >&2"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH with nothing on it but a shell's own needs; the tests put programs there."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in BASE:
        found = shutil.which(name)
        assert found is not None
        (directory / name).symlink_to(found)
    (directory / "python3").symlink_to(PYTHON)
    return directory


def put(directory: Path, name: str, script: str = "exit 0") -> None:
    """Write a program that notes its arguments beside itself, then runs `script`."""
    path = directory / name
    path.unlink(missing_ok=True)
    path.write_text(f'#!/bin/bash\necho "$*" >>"{directory}/{name}.log"\n{script}\n')
    path.chmod(0o755)


def calls(directory: Path, name: str) -> list[str]:
    log = directory / f"{name}.log"
    return log.read_text().splitlines() if log.exists() else []


def run(script: str, directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # The script also looks into /usr/sbin, where this machine may have nginx: so that look is kept away from it.
    text = (TOOLS / script).read_text().replace("/usr/sbin:/sbin", str(directory))
    text = text.replace("/usr/sbin/policy-rc.d", str(directory / "policy-rc.d"))
    text = text.replace("/usr/lib/nginx/modules/", f"{directory}/")
    copy = directory.parent / script
    copy.write_text(text)
    environ = {"PATH": str(directory), "HOME": os.environ.get("HOME", "/"), **variables}
    return subprocess.run(
        [str(directory / "bash"), str(copy), *arguments],
        cwd=directory.parent,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_when_all_is_there_nothing_is_said_or_done(programs: Path) -> None:
    put(programs, "nginx", WITH_STREAM)
    for name in ("haproxy", "wrk", "ab", "curl", "ss", "apt-get", "apt-cache"):
        put(programs, name)
    result = run("system_packages.sh", programs, "test")
    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)
    assert [] == calls(programs, "apt-get")


def test_who_is_not_root_is_told_what_is_missing_and_how_to_get_it(programs: Path) -> None:
    put(programs, "nginx", WITH_STREAM)
    put(programs, "haproxy")
    put(programs, "curl")
    put(programs, "ss")
    put(programs, "apt-get")
    put(programs, "id", "echo 1000")
    result = run("system_packages.sh", programs, "test")
    assert 0 == result.returncode
    assert [
        "Missing: wrk ab. What needs them is left out.",
        "  Debian, Ubuntu: sudo apt-get install wrk apache2-utils",
    ] == result.stdout.splitlines()
    assert [] == calls(programs, "apt-get")


@pytest.mark.parametrize("variables", [{}, {"STEELYARD_SYSTEM_PACKAGES": "0"}], ids=["no apt-get", "told not to"])
def test_root_elsewhere_is_told_too(programs: Path, variables: dict[str, str]) -> None:
    put(programs, "id", "echo 0")
    if variables:
        put(programs, "apt-get")
    result = run("system_packages.sh", programs, "bench", **variables)
    assert 0 == result.returncode
    assert result.stdout.startswith("Missing: nginx haproxy wrk ab curl ss nginx's stream module.")
    assert [] == calls(programs, "apt-get")


def test_root_on_debian_gets_only_what_is_missing_and_no_service_is_started(programs: Path) -> None:
    put(programs, "id", "echo 0")
    put(programs, "wrk")
    put(programs, "curl")
    put(programs, "ss")
    put(programs, "apt-cache")
    put(programs, "systemctl")
    put(programs, "apt-get", f'[ -x "{programs}/policy-rc.d" ] && echo "policy $1 $2" >>"{programs}/apt-get.log"')
    assert 0 == run("system_packages.sh", programs, "test").returncode
    update, _, install, policy = calls(programs, "apt-get")
    assert "-qq update" == update
    assert "-qq -y install --no-install-recommends nginx-light haproxy apache2-utils libnginx-mod-stream" == install
    assert "policy -qq -y" == policy
    assert not (programs / "policy-rc.d").exists()
    disabled = [call.split()[-1] for call in calls(programs, "systemctl")]
    assert ["nginx.service", "haproxy.service"] == disabled


def test_a_policy_that_is_there_is_left_as_it_is(programs: Path) -> None:
    put(programs, "id", "echo 0")
    put(programs, "apt-get")
    put(programs, "systemctl")
    put(programs, "policy-rc.d", "exit 104")
    before = (programs / "policy-rc.d").read_text()
    run("system_packages.sh", programs, "test")
    assert before == (programs / "policy-rc.d").read_text()


def test_an_install_that_fails_is_tried_once_more_and_then_said(programs: Path) -> None:
    put(programs, "id", "echo 0")
    put(programs, "sleep")
    put(programs, "apt-get", '[ "$2" = update ]')
    result = run("system_packages.sh", programs, "test")
    assert 0 == result.returncode
    assert 3 == len(calls(programs, "apt-get"))
    assert "Could not install" in result.stderr


@pytest.mark.parametrize(
    ("nginx", "module", "missing"),
    [
        (WITH_STREAM, False, False),
        (WITH_STREAM.replace("stream", "stream=dynamic"), False, True),
        (WITH_STREAM.replace("stream", "stream=dynamic"), True, False),
    ],
    ids=["built in", "missing", "a file of its own"],
)
@pytest.mark.parametrize("group", ["test", "bench"])
def test_nginx_s_stream_module_is_needed_too(
    programs: Path, group: str, nginx: str, module: bool, missing: bool
) -> None:
    for name in ("haproxy", "wrk", "ab", "curl", "ss", "apt-get"):
        put(programs, name)
    put(programs, "nginx", nginx)
    put(programs, "id", "echo 1000")
    if module:
        put(programs, "ngx_stream_module.so")
    result = run("system_packages.sh", programs, group)
    assert missing == ("sudo apt-get install libnginx-mod-stream" in result.stdout)
    assert missing == ("Missing: nginx's stream module." in result.stdout)


def test_an_unknown_group_is_an_error(programs: Path) -> None:
    assert 2 == run("system_packages.sh", programs, "tests").returncode


def test_the_interpreter_is_one_that_runs_and_is_new_enough(programs: Path) -> None:
    # A pyenv shim is there for a version that is not switched on; the system's own may be too old.
    put(programs, "python3", "exit 1")
    put(programs, "python3.14", "echo 'pyenv: python3.14: command not found' >&2; exit 127")
    (programs / "python3.11").symlink_to(PYTHON)
    result = run("find_python.sh", programs)
    assert 0 == result.returncode, result.stderr
    assert PYTHON == Path(result.stdout.strip()).resolve()


def test_no_interpreter_is_said_with_the_way_to_get_one(programs: Path) -> None:
    put(programs, "python3", "exit 1")
    result = run("find_python.sh", programs)
    assert 1 == result.returncode
    assert "Python 3.11 or newer is needed" in result.stderr
    assert "apt-get install python3 python3-venv" in result.stderr


def test_an_interpreter_of_ones_own_is_not_replaced_by_another(programs: Path) -> None:
    put(programs, "old", "exit 1")
    result = run("find_python.sh", programs, PYTHON=str(programs / "old"))
    assert 1 == result.returncode
    assert f"PYTHON={programs / 'old'} is not Python 3.11" in result.stderr
