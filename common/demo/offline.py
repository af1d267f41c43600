"""No connection to any other machine: whatever a library tries, nothing leaves this one."""

import ipaddress
import sys

_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")


def hold_to(host: str) -> None:
    """Let this process connect to no machine but this one; host: its own address that serves.

    For good: an audit hook cannot be taken away again. Whatever library tries to connect elsewhere,
    or to look up a name, gets a ConnectionRefusedError.
    """

    def hook(event, arguments):
        if event in _CONNECTING and isinstance(arguments[1], tuple):
            other = arguments[1][0]
        elif event == "socket.getaddrinfo":
            other = arguments[0]
        else:
            return
        if other and not is_here(other, host):
            raise ConnectionRefusedError(f"{other}: the page connects to no other machine")

    sys.addaudithook(hook)


def is_here(other: str | bytes, host: str) -> bool:
    """Whether a name or an address is of this machine: its loopback, or `host`."""
    name = other.decode(errors="replace") if isinstance(other, bytes) else other
    if name in ("localhost", host):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
