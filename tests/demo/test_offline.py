"""No connection to another machine, by whatever library."""

import subprocess
import sys

PROGRAM = """
import socket, threading, urllib.request
from common.demo import offline
offline.hold_to("192.0.2.7")
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
socket.getaddrinfo("localhost", 80)
for attempt in (
    lambda: socket.create_connection(("192.0.2.1", 9), timeout=1),
    lambda: socket.create_connection(("example.invalid", 9), timeout=1),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
    lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=1),
):
    try:
        attempt()
    except OSError as error:
        print(error)
"""


def test_other_machines_are_neither_reached_nor_looked_up():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and all("connects to no other machine" in line for line in lines)
