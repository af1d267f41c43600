"""Shared by all commands: errors in one line, exit codes, progress bars."""

import argparse
import contextlib
import difflib
import errno
import io
import os
import re
import shutil
import sys
import tempfile
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from tqdm import tqdm


class UserError(Exception):
    """A mistake that the user can correct; one line states what is wrong and what to do."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the most similar known name; empty where none is similar."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    close += [each for each in known if name and each.startswith(name)]
    return f" Did you mean {close[0]}?" if close else ""


class _Help(argparse.HelpFormatter):
    """Help texts with their flags' defaults, where there is one: a switch is off unless given."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if default is None or default is False or default in ([], argparse.SUPPRESS):
            return action.help
        return f"{action.help} (default: {'yes' if default is True else '%(default)s'})"


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line on standard error and exit 2.

    As make's variables are given, a switch (`action="store_true"`) is also set by `--switch=1` and
    left unset by `--switch=0`, and `~` is expanded at the beginning of a value.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Help)
        kwargs["allow_abbrev"] = False
        super().__init__(*args, **kwargs)
        self._words: Sequence[str] = ()  # of the command line

    def parse_known_args(  # type: ignore[override]  # argparse's stub has overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse's, with the values of switches and `~` taken as the class describes."""
        words = []
        self._words = sys.argv[1:] if args is None else args
        for word in self._words:
            word = re.sub(r"(?:^|(?<==))~[^/=]*", lambda home: os.path.expanduser(home[0]), word)
            flag, _, value = word.partition("=")
            action = self._option_string_actions.get(flag)
            if flag == word or action is None or action.nargs != 0:
                words.append(word)
                continue
            if value not in ("0", "1"):
                self.error(f"{flag}: 1 turns it on and 0 leaves it off. Received: {value}.")
            words = [earlier for earlier in words if earlier != flag]  # the last one counts
            if value == "1":
                words.append(flag)
        return super().parse_known_args(words, namespace)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse's; for an unknown argument the error names the nearest known one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            meant = nearest(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unknown argument {unknown[0]}{'.' * bool(meant)}{meant}")
        return parsed

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's; the error names the nearest choice as well."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += nearest(str(value), map(str, action.choices or ()))
            raise

    def error(self, message: str) -> NoReturn:
        """Print one line on standard error and exit with code 2."""
        flag = message.removeprefix("the following arguments are required: ")
        if flag != message:
            message = f"{flag} is missing"
            if self._words and not self._words[0].startswith("-"):
                message += f": {flag}={self._words[0]}"
        name, *rest = self.prog.split(" ")
        if name == "colorization" and not shutil.which(name):  # make needs no installation
            name = f"{os.path.relpath(sys.executable)} -m common.commands"
        self.exit(2, f"error: {message} (see {' '.join([name, *rest])} --help)\n")


def at_least(minimum: float, kind: Callable[[str], Any] = int) -> Callable[[str], Any]:
    """An argparse type: a number of a kind, int or float, that is no smaller than `minimum`."""

    def number(text: str) -> Any:
        value = kind(text)
        if not value >= minimum:  # nor NaN
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, got {text}")
        return value

    number.__name__ = kind.__name__
    return number


def yes_or_no(text: str) -> bool:
    """An argparse type: yes or no, 1 or 0."""
    if text not in ("yes", "no", "1", "0"):
        raise argparse.ArgumentTypeError(f"must be yes or no, got {text}")
    return text in ("yes", "1")


# System errors that the user can resolve; any other OSError is a defect and keeps its traceback.
_SYSTEM = {
    errno.ENOSPC: "the disk is full; free some space and start again",
    errno.EDQUOT: "the disk quota is used up; free some space and start again",
    errno.EACCES: "no permission; choose another folder or change its rights",
    errno.EPERM: "not permitted; choose another folder or change its rights",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder",
    errno.EISDIR: "a folder stands where a file is needed; choose another name",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
    errno.EFBIG: "the file is too large for this file system; choose another folder",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose another folder",
    **dict.fromkeys(
        (
            errno.EIO,
            errno.ENODEV,
            errno.ENXIO,
            errno.ESTALE,
            errno.ENOTCONN,
            errno.ETIMEDOUT,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
        ),
        "the drive or the network folder does not answer; bring it back and start again",
    ),
}


def system_error(error: OSError) -> str | None:
    """One line for an `OSError` that the user can resolve, else None."""
    if error.errno not in _SYSTEM:
        return None
    return f"{error.filename}: {reason(error)}" if error.filename else reason(error)


def reason(error: OSError) -> str:
    """What an `OSError` means, and for those that the user can resolve what to do."""
    if not error.errno:  # of a library
        return first_line(error)
    return _SYSTEM.get(error.errno) or os.strerror(error.errno).lower()


def run(main: Callable[[list[str] | None], int | None], argv: list[str] | None = None) -> int:
    """Call `main(argv)` and return the exit code: its own, 0, or 2 for a user's mistake.

    Characters that the terminal's encoding lacks are printed as "?". Pillow's warnings, which would
    stand in the progress bar, are dropped: what they mean for a photo is in the photo's notes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        return main(argv) or 0
    except UserError as error:
        message = one_line(error)
    except OSError as error:
        line = system_error(error)
        if line is None:
            raise
        message = line
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    print(f"error: {message}", file=sys.stderr)
    return 2


def first_line(error: BaseException) -> str:
    """The first line of an error's message, as of `one_line`; without one, its class."""
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0], 160)


def one_line(text: object, longest: int | None = None) -> str:
    """Text on one line, cut after `longest` characters, "?" for those that control a terminal.

    What strangers' files hold stands in messages, and escape sequences would be obeyed.
    """
    words = " ".join(str(text).split())
    line = "".join("?" if unicodedata.category(each) == "Cc" else each for each in words)
    return line if longest is None or len(line) <= longest else f"{line[: longest - 3]}..."


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Without what libraries in C++ write to standard error, whatever their settings."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def say(line: str) -> None:
    """Print a line, above the progress bar if there is one."""
    tqdm.write(line)


def progress(
    iterable: Iterable[Any] | None = None,
    total: int | None = None,
    desc: str = "",
    unit: str = "it",
    initial: int = 0,
) -> tqdm:
    """A progress bar with the time left; in a log file it is written once in thirty seconds."""
    watched = sys.stderr.isatty()
    return tqdm(
        iterable,
        total=total,
        desc=desc,
        unit=unit,
        initial=initial,
        dynamic_ncols=watched,
        mininterval=0.2 if watched else 30,
        maxinterval=1 if watched else 60,
        smoothing=0.05,
    )
