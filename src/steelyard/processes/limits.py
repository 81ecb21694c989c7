"""How many descriptors a process may have. Standard library alone: the supervisor holds the sockets of all workers."""

import resource


def raise_file_limit() -> None:
    """Take as many descriptors as the system lets us: each client and each kept backend connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
