"""As whom the processes run is settled before anything is bound, and what cannot be is said."""

import os
import pwd

import pytest

from steelyard.errors import ConfigError
from steelyard.processes import identity

ME = pwd.getpwuid(os.geteuid())
NOBODY = pwd.getpwnam("nobody")


@pytest.mark.parametrize("user", [None, ME.pw_name, str(ME.pw_uid)])
def test_nothing_is_to_be_done_to_stay_who_we_are(user: str | None) -> None:
    assert {} == identity.words_of(user)


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_root_becomes_another_with_his_groups(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    groups = os.getgrouplist("nobody", NOBODY.pw_gid)
    expected = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": groups}
    assert expected == identity.words_of(user)


@pytest.mark.parametrize("user", ["no-such-user", "4000000000", "²"])
def test_a_user_that_there_is_not_is_said(user: str) -> None:
    with pytest.raises(ConfigError, match=f"user: there is no such user on this machine .got {user}.; create it"):
        identity.words_of(user)


@pytest.mark.parametrize("uid", [NOBODY.pw_uid + 1, 3_999_999_999])
def test_only_root_becomes_another(uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with pytest.raises(ConfigError, match=r"only root becomes another .got nobody.; start as root, or as nobody"):
        identity.words_of("nobody")


def test_the_groups_go_before_the_user_who_might_not_let_them_go(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    for name in ("setgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, lambda *words, name=name: called.append((name, *words)))
    identity.become({"user": 5, "group": 6, "extra_groups": [6, 7]})
    assert [("setgroups", [6, 7]), ("setresgid", 6, 6, 6), ("setresuid", 5, 5, 5)] == called
    called.clear()
    identity.become({})
    assert [] == called
