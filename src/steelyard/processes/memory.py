"""Memory that all processes of a balancer share: a file without a name that is as long as it ever will be."""

import fcntl
import os


def shared_memory(size_bytes: int) -> int:
    """A descriptor of so many zeroed bytes. Nobody can make it shorter: whoever then read behind its end would die."""
    memory = os.memfd_create("steelyard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size_bytes)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return memory
