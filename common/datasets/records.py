"""The TFRecord schema, written and read with and without TensorFlow, and `Dataset`.

A data set is a folder of shards. Each shard is a TFRecord file of `Example`s

    image  bytes   PNG of the RGB picture, 8 bit, image_size x image_size
    name   bytes   UTF-8, the path of the picture file inside its source folder
    label  int64   index into the manifest's `labels`, -1 where the source has no classes

and beside it, for every embedding that was computed, `<shard>.<key>.npy` (N, 1000) float32.
`<shard>.json` (`index`) lists what is in it and where every record begins, so that records can be
read in any order: the order of training is then a function of (seed, epoch, position).
`manifest.json` has a summary of each shard.
"""

import concurrent.futures
import functools
import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import google_crc32c
import numpy as np

from common import files, photos, seals
from common.cli import UserError, first_line, one_line
from common.color import lab
from common.datasets import index, rows
from common.datasets.cache import About, Cache
from common.datasets.manifest import check as check_manifest
from common.datasets.rows import DamagedError
from common.datasets.splits import SPLITS
from common.datasets.threads import ahead
from common.networks.embeddings import CLASSES
from common.photos.pixels import from_opencv

SCHEMA = 2
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # up to the width and the height


# --- Example: protocol buffers, the three kinds of field that the schema needs ---------------


def _varint(number):
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def _read_varint(data, at):
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
    raise ValueError("a number of more than ten bytes")


def _field(number, payload):
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _fields(data):
    """Yield (number, value) of a message: bytes for length-delimited fields, int for varints."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        value, at = _read_varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        yield key >> 3, value


def encode_example(rgb: np.ndarray, name: str, label: int) -> bytes:
    """(S, S, 3) uint8, str, int -> the bytes of a `tf.train.Example`; equal input, equal bytes."""
    values = {
        "image": _field(1, _field(1, photos.png(rgb))),
        "label": _field(3, _field(1, _varint(label))),
        "name": _field(1, _field(1, name.encode("utf-8", "surrogateescape"))),
    }
    entries = (_field(1, key.encode()) + _field(2, value) for key, value in values.items())
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _check_chunks(png):
    """ValueError for a chunk that is longer than its file: OpenCV allocates what a length says."""
    at = 8
    while at < len(png):
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    if at != len(png):
        raise ValueError("its picture is cut off")


def decode_example(data: bytes, size: int | None = None) -> dict[str, Any]:
    """The bytes of an `Example` -> {"rgb": (S, S, 3) uint8, "name": str, "label": int}.

    size: S, held against the PNG's header before it is decoded, if given. ValueError where the
    bytes hold anything else.
    """
    try:
        ((_, features),) = _fields(data)
        fields = {}
        for _, entry in _fields(features):
            (_, key), (_, feature) = _fields(entry)
            ((_, values),) = _fields(feature)
            ((_, fields[key.decode()]),) = _fields(values)
        label, name, encoded = fields["label"], fields["name"], fields["image"]
        if not isinstance(label, int):  # packed, as TensorFlow writes it
            label, _ = _read_varint(label, 0)
        label &= (1 << 64) - 1
        if not encoded.startswith(_PNG + (struct.pack(">II", size, size) if size else b"")):
            raise ValueError(f"its picture is no PNG of {size or 'any size'}")
        _check_chunks(encoded)
        return {
            "rgb": from_opencv(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)),
            "name": name.decode("utf-8", "surrogateescape"),
            "label": label - (1 << 64) if label >> 63 else label,
        }
    except (AttributeError, IndexError, KeyError, TypeError, cv2.error) as error:
        raise ValueError("it is no example of this schema") from error


# --- TFRecord: the framing --------------------------------------------------------------------


def _masked_crc(data):
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_shard(path: str | Path, examples: Iterable[bytes]) -> dict[str, Any]:
    """Write an iterable of encoded examples as one TFRecord file.

    Returns its entries of the manifest: `offsets`, where each example begins, `bytes`, `sha256`.
    """
    offsets, size, hashed = [], 0, hashlib.sha256()
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        for example in examples:
            offsets.append(size)
            length = struct.pack("<Q", len(example))
            for part in (length, _masked_crc(length), example, _masked_crc(example)):
                data = part if isinstance(part, bytes) else struct.pack("<I", part)
                file.write(data)
                hashed.update(data)
                size += len(data)
    return {"offsets": offsets, "bytes": size, "sha256": hashed.hexdigest()}


def read_record(path: str | Path, offset: int) -> bytes:
    """The bytes of the record that begins at `offset`; a damaged one raises `DamagedError`."""
    with rows.opened(path) as file:
        file.seek(offset)
        head = file.read(12)
        if len(head) == 12 and _masked_crc(head[:8]) == struct.unpack("<I", head[8:])[0]:
            (length,) = struct.unpack("<Q", head[:8])
            data = file.read(length + 4)
            if len(data) == length + 4:
                example = data[:-4]
                if _masked_crc(example) == struct.unpack("<I", data[-4:])[0]:
                    return example
    raise DamagedError(
        f"The shard {path} is corrupt at byte {offset}. Delete this file and run the "
        "same command again: only it is made anew."
    )


# --- the data set -----------------------------------------------------------------------------


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a finished data set; `UserError` names what is missing or different."""
    path = Path(folder) / "manifest.json"
    try:
        manifest = seals.read_json(path)
        if manifest["schema"] == SCHEMA:
            check_manifest(manifest)
    except FileNotFoundError:
        raise UserError(f"No shards in {folder}. Run `make data` first.") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} is corrupt ({first_line(error)}). Delete it and run `make data` again."
        ) from None
    if manifest["schema"] != SCHEMA:
        raise UserError(
            f"{path} has schema {one_line(manifest['schema'], 60)}, this version reads {SCHEMA}. "
            f"Delete {folder} and run `make data` again."
        )
    if not manifest["complete"]:
        raise UserError(
            f"The shards in {folder} are not finished. Run the same `make data` "
            "again: it goes on where it stopped."
        )
    return manifest


def lightness(folder: Path, part: index.Part) -> np.ndarray:
    """L* of a part of a shard's pictures, (N, S, S, 1) float32."""
    path = folder / f"{part.shard['name']}.tfrecord"
    offsets = index.read(folder, part.shard).offsets[part.rows]
    return np.stack(
        [lab.rgb_to_l(decode_example(read_record(path, offset))["rgb"]) for offset in offsets]
    )[..., None]


def embedding_key(metadata: Mapping[str, Any]) -> str:
    """The key of an embedding in the manifest, from what a model or the manifest says of it.

    It begins with the hash of the network's weights. Where there is no word of what embeddings were
    made from, as in earlier versions, that was the stored picture.
    """
    made_from = metadata.get("from", "shard")
    return metadata["sha256"][:12] + ("" if made_from == "shard" else f"-{made_from}")


def embedding_path(folder: str | Path, shard: str, key: str) -> Path:
    """Where the embeddings of a shard lie; key: of `embedding_key`."""
    return Path(folder) / f"{shard}.{key}.npy"


class Dataset:
    """The shards of a folder, by split and position.

    folder: of the shards; `~` is home. embedding: the key of a stored embedding; by default the
    one added last. Raises `UserError` for a data set that is not complete.

    `name`, `labels`, `image_size`, `cut`, `mean_ab` (2,) float32 in Lab units: of its manifest.
    `embedding`: {"network", "weights", "sha256", "precision", "from"} of the embedding, or None.
    `mend`: called with the name of a damaged shard and the error before it is read again; by
    default there is none, and the error passes. `cache`: keeps decoded pictures for the next time
    that they are read; by default there is none.
    """

    mend: Callable[[str, DamagedError], None] | None = None
    cache: Cache | None = None

    def __init__(self, folder: str | Path, embedding: str | None = None) -> None:
        self.folder = Path(folder).expanduser()
        self.manifest = manifest = read_manifest(self.folder)
        self.name, self.labels = manifest["data"], manifest["labels"]
        self.image_size, self.cut = manifest["image_size"], manifest["cut"]
        self.mean_ab = np.array(manifest["mean_ab"], np.float32)
        stored = manifest["embeddings"]
        key = embedding or next(reversed(stored), None)
        if embedding and key not in stored:
            raise UserError(
                f"{folder} holds no embedding {key}, only {', '.join(stored) or 'none'}"
                ". Run `make data` with the EMBEDDING and EMBEDDING_WEIGHTS it needs."
            )
        self._key, self.embedding = key, None
        if key:
            entry = {"from": "shard", **stored[key]}  # earlier versions had no other
            self.embedding = {
                name: entry[name] for name in ("network", "weights", "sha256", "precision", "from")
            }
        self._shards: dict[str, list[dict]] = {split: [] for split in SPLITS}
        for shard in manifest["shards"]:
            self._check(shard)
            self._shards[shard["split"]].append(shard)
        # Where each shard of a split begins, and where the last one ends.
        self._starts = {
            split: np.cumsum([0, *(shard["count"] for shard in shards)])
            for split, shards in self._shards.items()
        }
        self._entries = {shard["name"]: shard for shard in manifest["shards"]}
        self._offsets = functools.cache(lambda shard: self._index(shard).offsets)

    def __reduce__(self):
        # As another process: without what mends it, and without what it keeps in memory.
        return type(self), (self.folder, self._key)

    def _check(self, shard):
        expected = {self._path(shard["name"]): shard["bytes"]}
        if self._key:
            sizes = self.manifest["embeddings"][self._key]["bytes"]
            expected[embedding_path(self.folder, shard["name"], self._key)] = sizes[shard["name"]]
        for path, size in expected.items():
            stored = path.stat().st_size if path.exists() else None
            if stored != size:
                state = "is missing" if stored is None else f"has {stored} bytes, not {size}"
                raise UserError(
                    f"{path} {state}. Run the same `make data` again: only this file is made anew."
                )
        listed = index.path(self.folder, shard["name"])
        if not listed.exists():
            raise index.missing(listed)

    def _index(self, shard):
        return index.read(self.folder, self._entries[shard], len(self.labels))

    def indices(self, split: str) -> Iterator[index.Index]:
        """Yield what is in each shard of a split, in stored order; read one by one."""
        return (self._index(shard["name"]) for shard in self._shards[split])

    def count(self, split: str) -> int:
        """The number of pictures in a split."""
        return int(self._starts[split][-1])

    def names(self, split: str, positions: Sequence[int] | np.ndarray | None = None) -> list[str]:
        """The names of the pictures' files, in stored order; or of those at `positions`."""
        if positions is None:
            return [name for listed in self.indices(split) for name in listed.name]
        return self._of(split, positions, "name")

    def sha256(self, split: str, positions: Sequence[int] | np.ndarray | None = None) -> list[str]:
        """The SHA-256 of the pictures' files, in stored order; or of those at `positions`."""
        if positions is None:
            return [digest for listed in self.indices(split) for digest in listed.digest]
        return self._of(split, positions, "digest")

    def _of(self, split, positions, column):
        """A column of the index at some positions, each shard of which is read once."""
        shards, at = self._located(split, positions)
        values = [""] * len(at)
        order = np.argsort(shards, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1):
            if len(group):
                shard = self._shards[split][shards[group[0]]]["name"]
                listed = getattr(self._index(shard), column)
                for number in group.tolist():
                    values[number] = listed[at[number]]
        return values

    def digests(self, split: str) -> np.ndarray:
        """As `sha256`, (N,) of 32 bytes each, which sort as their hexadecimal digits do."""
        digests = np.empty(self.count(split), "S32")
        for start, listed in zip(self._starts[split], self.indices(split), strict=False):
            digests[start : start + len(listed)] = [bytes.fromhex(each) for each in listed.digest]
        return digests

    def labels_of(self, split: str) -> np.ndarray:
        """The pictures' indices into `labels`, (N,) int64 in stored order; -1 without a class."""
        columns = [np.array(listed.label, np.int64) for listed in self.indices(split)]
        return np.concatenate([*columns, np.empty(0, np.int64)])

    def paths(self, split: str) -> list[Path]:
        """The TFRecord files of a split, in stored order."""
        return [self._path(shard["name"]) for shard in self._shards[split]]

    def _path(self, shard):
        return self.folder / f"{shard}.tfrecord"

    def split_sha256(self) -> str:
        """One hash for what is in which split, whatever the pictures' size and cut.

        SHA-256 of a JSON list of each split's sorted list of hashes.
        """
        hashed = hashlib.sha256()
        for before, split in zip(("[[", "], [", "], ["), SPLITS, strict=True):
            hashed.update(before.encode())
            raw = np.sort(self.digests(split)).tobytes()  # which keeps the zeros at an end
            for at in range(0, len(raw), 32):
                hashed.update(f'{", " * bool(at)}"{raw[at : at + 32].hex()}"'.encode())
        hashed.update(b"]]")
        return hashed.hexdigest()

    @functools.cached_property
    def _pool(self):
        return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "decode")

    @functools.cached_property
    def _embeddings(self):
        assert self._key is not None  # called only if embeddings are stored
        return {
            shard["name"]: rows.Rows(
                embedding_path(self.folder, shard["name"], self._key),
                (shard["count"], CLASSES),
                "<f4",
            )
            for shards in self._shards.values()
            for shard in shards
        }

    def locate(self, split: str, positions: Sequence[int] | np.ndarray) -> list[tuple[str, int]]:
        """(name of the shard, row in it) of the pictures at `positions` of a split."""
        found = zip(*self._located(split, positions), strict=True)
        return [(self._shards[split][shard]["name"], int(row)) for shard, row in found]

    def _located(self, split, positions):
        """(number of the shard in its split, row in it) of each position, two arrays."""
        starts, positions = self._starts[split], np.asarray(positions, np.int64)
        if len(positions) and not 0 <= positions.min() <= positions.max() < starts[-1]:
            raise IndexError(f"{split} has the positions 0 to {starts[-1] - 1}: {positions}")
        shards = np.searchsorted(starts, positions, "right") - 1
        return shards, positions - starts[shards]

    def read(
        self, split: str, positions: Sequence[int] | np.ndarray, embedding: bool = False
    ) -> dict[str, Any]:
        """The pictures at `positions` of a split.

        Returns {"rgb": (N, S, S, 3) uint8, "name": list of str, "label": (N,) int64} and, if
        asked for, {"embedding": (N, 1000) float32}.
        """
        rgb = np.empty((len(positions), self.image_size, self.image_size, 3), np.uint8)
        about: list[About | None] = [None] * len(positions)
        if self.cache is not None:
            about = self.cache.read(split, positions, rgb)
        self._decode(split, positions, rgb, about)
        names, labels = zip(*about, strict=True) if about else ((), ())
        batch = {"rgb": rgb, "name": list(names), "label": np.array(labels, np.int64)}
        if embedding:
            batch["embedding"] = self.read_embeddings(split, positions)
        return batch

    def _decode(self, split, positions, rgb, about):
        """Fill in the pictures of which `about` is None, and keep them where there is a cache."""
        missing = [place for place, known in enumerate(about) if known is None]
        if not missing:
            return
        located = self.locate(split, [positions[place] for place in missing])

        def decode(place, at):
            example = self._example(*at)
            rgb[place], about[place] = example["rgb"], (example["name"], example["label"])
            if self.cache is not None:
                self.cache.add(split, positions[place], rgb[place], about[place])

        for _ in self._pool.map(decode, missing, located):  # raises what a thread has raised
            pass

    def _example(self, shard, row):
        """A decoded record; `UserError` where it is none, although its checksum is right."""
        offset = int(self._offsets(shard)[row])
        try:
            return decode_example(self._record(shard, offset), self.image_size)
        except ValueError as error:
            raise UserError(
                f"The shard {self._path(shard)} holds no picture of this data set at byte {offset} "
                f"({first_line(error)}): another program wrote it. Delete this file and run the "
                "same `make data` again."
            ) from None

    def _record(self, shard, offset):
        """The bytes of a record, whose shard is mended first if it is damaged and that can be."""
        try:
            return read_record(self._path(shard), offset)
        except DamagedError as error:
            if self.mend is None:
                raise
            self.mend(shard, error)
            return read_record(self._path(shard), offset)

    def read_embeddings(self, split: str, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """The embeddings of the pictures at `positions` of a split, (N, 1000) float32."""
        return np.stack(
            [self._embeddings[shard][row] for shard, row in self.locate(split, positions)]
        )

    def embeddings(self, split: str) -> Iterator[np.memmap]:
        """Yield the stored embeddings of a split in order, a shard's (N, 1000) float32 at a time.

        The files are memory-mapped: at most 1,024 rows, 4 MB, are in memory at a time.
        """
        return (self._embeddings[shard["name"]].whole() for shard in self._shards[split])

    def batches(
        self,
        split: str,
        batch_size: int,
        embedding: bool = False,
        starts: Iterable[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the split in stored order in batches of `batch_size`; the last may be smaller.

        starts: the positions at which batches begin, where not all are wanted.
        """
        positions = np.arange(self.count(split))
        return ahead(
            lambda start: self.read(split, positions[start : start + batch_size], embedding),
            range(0, len(positions), batch_size) if starts is None else starts,
        )


def _after(stored):
    """Bytes of a memory-mapped file behind its array: the checksums."""
    return Path(stored.filename).stat().st_size - stored.offset - stored.nbytes


AT_ONCE = 4  # shards that `tf_dataset` reads


def tf_dataset(folder: str | Path, split: str, embedding: str | bool = False) -> Any:
    """A split as a `tf.data.Dataset` of {"rgb", "name", "label"}, in stored order.

    For pipelines of one's own; training uses `Dataset.read`, which returns the same on any backend
    and can start at any position. embedding: the key of a stored embedding, or True for the one
    stored last, which adds {"embedding": (1000,) float32}. Shards are read in parallel.
    """
    import tensorflow as tf

    dataset = Dataset(folder, embedding if isinstance(embedding, str) else None)
    if embedding and dataset.embedding is None:
        raise UserError(f"{folder} holds no embedding. `make data` with EMBEDDING= stores one.")
    schema = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "name": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record, *vector):
        example = tf.io.parse_single_example(record, schema)
        rgb = tf.ensure_shape(
            tf.io.decode_png(example["image"], channels=3),
            (dataset.image_size, dataset.image_size, 3),
        )
        parsed = {"rgb": rgb, "name": example["name"], "label": example["label"]}
        if vector:
            parsed["embedding"] = tf.io.decode_raw(vector[0], tf.float32)
        return parsed

    def of_shard(path, *vectors):
        records = tf.data.TFRecordDataset(path)
        if not vectors:
            return records
        file, start, size, footer = vectors
        vectors = tf.data.FixedLengthRecordDataset(
            file, size, header_bytes=start, footer_bytes=footer
        )
        return tf.data.Dataset.zip((records, vectors))

    columns = [tf.constant([str(path) for path in dataset.paths(split)], tf.string)]
    if embedding:
        stored = list(dataset.embeddings(split))
        columns += [
            tf.constant([str(each.filename) for each in stored], tf.string),
            tf.constant([each.offset for each in stored], tf.int64),
            tf.constant([each.strides[0] for each in stored], tf.int64),
            tf.constant([_after(each) for each in stored], tf.int64),
        ]
    # A block is a whole shard, so that the order is the stored one.
    shards = tf.data.Dataset.from_tensor_slices(tuple(columns)).interleave(
        of_shard,
        cycle_length=AT_ONCE,
        block_length=max((each["count"] for each in dataset._shards[split]), default=1),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return shards.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
