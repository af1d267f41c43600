"""Pickles read without running code from the file.

A pickle can call any Python function; here it may call only those of a table, which record what the
file holds.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

NUMERIC = re.compile(r"[<>=|]([fiu][1248]|b1)")  # NumPy's names of types without Python objects

DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
)


class Refused(Exception):
    """Names a class or function that a pickle refers to and that is not allowed."""


class Unpickler(pickle.Unpickler):
    """Reads a pickle that refers to nothing but `known`: {(module, name): what takes its place}.

    `known` should be made anew for each pickle, since a pickle can modify the functions that it
    gets. `load` raises `Refused` for any other name, and one of `DAMAGED` for a damaged file.
    """

    def __init__(self, file: IO[bytes], known: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(file)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise Refused(f"{module}.{name}")
        return self._known[module, name]


def arrays(file: IO[bytes]) -> Any:
    """The next pickle of a file: nested dicts whose leaves are numeric NumPy arrays.

    Other leaves stay as they are. Arrays are made from the bytes in the pickle, after a check of
    their kind and size; NumPy's own code for pickles does not run. Raises as `Unpickler` does.
    """

    class Kind:
        def __init__(self, name: str, *_: Any) -> None:
            self.name, self.order = name, "="

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            self.order = state[1]

    class Array:
        value: np.ndarray

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            _, shape, kind, by_columns, numbers = state
            if not NUMERIC.fullmatch(f"{kind.order}{kind.name}") or type(numbers) is not bytes:
                raise ValueError("an array that does not hold numbers")
            flat = np.frombuffer(numbers, f"{kind.order}{kind.name}")
            value = flat.reshape(shape, order="F" if by_columns else "C")
            self.value = np.array(value, kind.name, order="C")

    def plain(tree: Any) -> Any:
        if isinstance(tree, Array):
            return tree.value
        if isinstance(tree, dict):
            return {name: plain(value) for name, value in tree.items()}
        return tree

    known = {
        ("numpy", "ndarray"): "ndarray",  # an argument of the next one
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: Array(),
        ("numpy", "dtype"): Kind,
    }
    return plain(Unpickler(file, known).load())
