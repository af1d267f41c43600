"""Ports of this machine for processes that a test starts."""

import socket
import sys

_held = []


def free() -> int:
    """A port at which nothing listens. On Linux no other process is given it meanwhile."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("", 0))
    port = taken.getsockname()[1]
    if sys.platform == "linux":  # which lets another socket listen there
        _held.append(taken)
    else:
        taken.close()
    return port
