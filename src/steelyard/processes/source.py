"""Where a balancer's configuration comes from: a file, or the backends of a command line.

`steelyard run` puts it into words (a mapping that JSON can carry), the control process reads the configuration by them,
at the start and for every reload.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from steelyard.core.spec import Spec
from steelyard.errors import ListenError

Words = dict[str, Any]


def from_file(path: Path, **overrides: Any) -> Words:
    """overrides: fields of the Spec that the command line gives another value."""
    return {"file": str(path), "title": str(path), "overrides": overrides}


def from_backends(backends: list[str], listen: str, policy: str | None, key: str | None, **overrides: Any) -> Words:
    """As the arguments of `steelyard run`."""
    arguments = {"backends": backends, "listen": listen, "policy": policy, "key": key}
    return {"arguments": arguments, "title": listen, "overrides": overrides}


def file_of(source: Words) -> Path | None:
    """The configuration file, or None where there is none."""
    return Path(source["file"]) if "file" in source else None


def beside(source: Words) -> str:
    """The directory of the file, where modules of its policies may be; empty where there is none."""
    path = file_of(source)
    return "" if path is None else str(path.resolve().parent)


def read(source: Words) -> Spec:
    """Read and check it. Raises ConfigError."""
    from steelyard.control import config  # not above: `steelyard run` only makes the words, and is the sooner done

    path = file_of(source)
    spec = config.from_arguments(**source["arguments"]) if path is None else config.load(path)
    return replace(spec, **source["overrides"])


def described(source: Words, exc: ListenError) -> str:
    """What cannot be listened on, by the name that it has where it was written."""
    path = file_of(source)
    return f"--listen: {exc.what}" if path is None else f"{path}: {exc}"
