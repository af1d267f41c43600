"""`make demo` in a process of its own, which notes every address that it tries to connect to."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Our hook comes first: it also sees what the page's own then forbids.
PROGRAM = """
import json, sys
log = open(sys.argv[1], "a", buffering=1)
def note(event, arguments):
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        print(json.dumps(arguments[1][0]), file=log)
    if event == "socket.getaddrinfo":
        print(json.dumps(str(arguments[0])), file=log)
sys.addaudithook(note)
from common import cli
from common.commands import demo
sys.exit(cli.run(demo.main, sys.argv[2:]))
"""


class Page:
    """A page that is served: its address, its process, and the folder of its temporary files."""

    def __init__(self, process: subprocess.Popen, folder: Path, address: str):
        self.process, self.folder, self.address = process, folder, address

    def connections(self) -> set[str]:
        """Names and addresses that the process connected to, looked up, or tried to."""
        return {json.loads(line) for line in (self.folder / "log").read_text().splitlines()}

    def temporary(self) -> list[Path]:
        """What the process has in the system's temporary folder, which is its own here."""
        return list((self.folder / "tmp").iterdir())

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: the exit code, and what was printed since the address."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextlib.contextmanager
def served(folder: Path, model: Path, *flags: str) -> Iterator[Page]:
    """Serve the page, in a folder for what the process writes."""
    (folder / "tmp").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder / "log"), f"--model={model}", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder / "tmp"),
            "RUNTIME": "auto",
            "GRADIO_SHARE": "True",  # what a person's environment may hold changes nothing
            "GRADIO_ALLOWED_PATHS": "/",
            "HTTP_PROXY": "http://192.0.2.1:3128",
        },
    )
    try:
        line = process.stdout.readline()
        if not line.startswith("http://"):
            raise AssertionError(line + process.communicate(timeout=60)[0])
        yield Page(process, folder, line.split()[0])
    finally:
        process.kill()
        process.communicate()
