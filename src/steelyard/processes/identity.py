"""As whom the processes run: `user:` of the configuration, once what only root may do is done.

The supervisor stays who it was, since a reload may ask it for another privileged port; of
the others it is told which addresses to listen on, and opaque bytes to pass on.
"""

import os
import pwd
from typing import Any

from steelyard.errors import ConfigError, Problem


def words_of(user: str | None) -> dict[str, Any]:
    """What `subprocess` is told to run a child as this user; empty for ourselves. Raises ConfigError."""
    if user is None:
        return {}
    try:
        found = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        mend = "create it, or name another one"
        raise ConfigError(
            [Problem("configuration", "user", "there is no such user on this machine", user, mend)]
        ) from None
    if found.pw_uid == os.geteuid():
        return {}
    if os.geteuid() != 0:
        we = _called(os.geteuid())
        mend = f"start as root, or as {user}, or take user out"
        raise ConfigError(
            [Problem("configuration", "user", f"this is {we}, and only root becomes another", user, mend)]
        )
    groups = os.getgrouplist(found.pw_name, found.pw_gid)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": groups}


def become(words: dict[str, Any]) -> None:
    """Be that user from now on, for good."""
    if words:
        os.setgroups(words["extra_groups"])
        os.setresgid(words["group"], words["group"], words["group"])
        os.setresuid(words["user"], words["user"], words["user"])


def _called(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
