"""A folder or a catalogued data set -> shards and embeddings (`make data`).

Everything is planned before the first shard: which file goes into which split and shard. A build
that was stopped goes on where it was, to the same bytes, and a finished one is only checked.
"""

import collections
import csv
import functools
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np

from common import cli, files, photos
from common.cli import UserError
from common.color import lab
from common.datasets import arrays, records, samples
from common.networks import embeddings, pretrained

CATALOGUE = Path(__file__).parents[2] / "data" / "sources.toml"
DATA = Path("data")  # raw pictures and shards, below the folder that one works in
SHARD_PICTURES, SHARD_BYTES = 1024, 100_000_000  # a shard ends at either; bytes before PNG
FRACTIONS = (0.9, 0.05, 0.05)  # train, validation, test
UNREADABLE = 0.1  # a larger share of unreadable pictures is an error
GREY = 4.0  # a picture whose |a|, |b| stay below this everywhere is called grey

# folders that name their split
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def prepare(
    data,
    size,
    cut,
    embedding=None,
    weights="auto",
    *,
    split_by=None,
    fractions=FRACTIONS,
    seed=0,
    overwrite=False,
    max_megapixels=300,
    folder=None,
    for_training=True,
):
    """Make what is missing of a data set's shards and embeddings.

    data: `samples`, a name in data/sources.toml, or a folder of pictures. size, cut: those of the
    network (photos.CUTS). embedding: a name in embeddings.NETWORKS, or None. split_by: "content",
    "folder", or a file of lines "path,split"; None takes what there is, else the catalogue's, else
    "content". for_training: without a training picture it is an error.
    Returns the `records.Dataset`, with that embedding. Raises `UserError`.
    """
    name, source, usual = source_of(data)
    if split_by not in (None, "content", "folder"):
        split_by = str(Path(split_by).resolve())
    entry = catalogue().get(str(data), {})
    counts = entry.get("pictures")
    if folder is None:
        folder = DATA / "tfrecords" / f"{name}-{size}-{cut}"
        by = split_by or (_read_plan(folder) or {}).get("split_by") or usual
        if by != "content" or counts:
            fractions = FRACTIONS  # lists, folders and counts say themselves what goes where
        elif tuple(fractions) != FRACTIONS:
            # Beside the usual split. Smaller test fractions are part of larger ones.
            folder = folder.with_name("-".join([folder.name, *(f"{100 * x:g}" for x in fractions)]))
    folder = Path(folder)
    if overwrite and folder.exists():
        _require(data, source)
        shutil.rmtree(folder)
    manifest = _read_plan(folder)
    split_by = split_by or (manifest["split_by"] if manifest else usual)
    settings = {
        "schema": records.SCHEMA,
        "data": name,
        "source": str(source),
        "image_size": size,
        "cut": cut,
        "split_by": split_by,
        "fractions": list(fractions),
        "seed": seed,
    }
    if counts:
        settings["counts"] = counts
    if "validation" in entry and split_by == "folder":
        settings["validation"] = entry["validation"]
    if manifest is None:
        _require(data, source)
        print(f"Preparing {name} at {size} x {size} in {folder}", flush=True)
        manifest = _plan(source, settings)
        files.write_json(folder / "manifest.json", manifest)
    _check_plan(manifest, settings, source, folder)
    if not manifest["complete"] or _damaged(manifest, folder):
        _build(manifest, folder, source, embedding, weights, max_megapixels, for_training)
    elif embedding:
        _add_embedding(manifest, folder, embedding, weights)
    key = _stored_key(manifest, embedding, weights) if embedding else None
    return records.Dataset(folder, manifest["embeddings"][key]["sha256"] if key else None)


# --- sources and splits -----------------------------------------------------------------------


def catalogue():
    """The data sets of data/sources.toml, {name: entry}."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def recipe(data):
    """{"epochs", "steps", "batch"}, as far as the catalogue has them: how a data set is trained on.

    A recipe without steps is once through the data in an epoch; {} without a recipe.
    """
    return catalogue().get(str(data), {}).get("recipe", {})


def source_of(data):
    """(name, folder, usual split) of a catalogued data set or of a folder."""
    entry = catalogue().get(str(data))
    if entry is None:
        path = Path(data)
        # The path is part of the name: two folders called `photos` are two data sets.
        name = f"{path.resolve().name}-{files.sha256(str(path.resolve()).encode())[:6]}"
        return name, path.resolve(), "content"
    source = (DATA / entry["folder"]).resolve()
    split_by = entry["split_by"]
    if split_by not in ("content", "folder"):
        split_by = str(CATALOGUE.parent / split_by)
    if data == "samples":
        samples.make(source)
    return data, source, split_by


def _require(data, source):
    """Make the pictures of a data set that comes as arrays; `UserError` if there is no source."""
    if not source.is_dir() and data in arrays.MAKERS:
        arrays.MAKERS[data](source)
    if not source.is_dir():
        raise UserError(_missing(data, source))


def _missing(data, source):
    """The one line for a source that is not there."""
    if entry := catalogue().get(str(data)):
        return (
            f"The pictures of {data} are not in {source}. They are at {entry['url']} "
            f"({entry['fetch']})."
        )
    return (
        f"There is no folder {data}, and no data set of this name in "
        f"data/sources.toml ({', '.join(catalogue())}). DATA is either."
    )


def _split_of(sha256, fractions):
    """train, validation or test by a hash's place in [0, 1): stable when photos come and go."""
    place = int(sha256[:13], 16) / 16**13
    if place < fractions[2]:
        return "test"
    return "validation" if place < fractions[2] + fractions[1] else "train"


def _splits(found, split_by, fractions, counts=None, validation=None):
    """{name: split} for (name, bytes, sha256) of every picture.

    counts: so many training, validation and test pictures, the first by hash; the rest is left out.
    validation: so many pictures of the folder `train` are for validation, the first by hash.
    """
    if counts:
        order = sorted(found, key=lambda item: (item[2], item[0]))
        splits = np.repeat(records.SPLITS, counts)
        if len(order) < len(splits):
            raise UserError(f"{sum(counts)} pictures are needed, {len(order)} are there.")
        return {name: str(split) for (name, _, _), split in zip(order, splits, strict=False)}
    if split_by == "content":
        digests = {name: digest for name, _, digest in found}
    elif split_by == "folder":
        named = {name: SPLIT_FOLDERS.get(Path(name).parts[0].lower()) for name, _, _ in found}
        digests = {name: digest for name, _, digest in found}
        if all(named.values()):
            if validation and "validation" not in named.values():
                _hold_out(named, digests, validation)
            _fill(named, digests, missing_only=True)
            return named
        if validation:
            stray = next(name for name, split in named.items() if split is None)
            raise UserError(
                f"These pictures are split by the folders train and test, and {stray} "
                "is in neither. Put them so, or SPLIT_BY=content."
            )
        digests = {name: files.sha256(str(Path(name).parent).encode()) for name, _, _ in found}
    else:
        return _listed(split_by)
    splits = {name: _split_of(digest, fractions) for name, digest in digests.items()}
    _fill(splits, digests)
    return splits


def _hold_out(splits, digests, count):
    """Move `count` training pictures, the first by hash, to validation; copies move together."""
    copies = collections.Counter(
        digests[name] for name, split in splits.items() if split == "train"
    )
    moved = set()
    for digest in sorted(copies):
        if copies[digest] <= count:
            moved.add(digest)
            count -= copies[digest]
    splits.update(
        {
            name: "validation"
            for name, split in splits.items()
            if split == "train" and digests[name] in moved
        }
    )


def _fill(splits, digests, missing_only=False):
    """Give an empty validation or test split the training pictures that come next by hash.

    Few pictures can all fall into training. Copies move together; training keeps at least one.
    """
    for wanted in ("validation", "test"):
        if wanted in splits.values():
            continue
        groups = sorted({digests[name] for name, split in splits.items() if split == "train"})
        count = max(1, len(groups) // 20) if missing_only else 1
        if len(groups) > count:
            moved = set(groups[:count])
            splits.update(
                {
                    name: wanted
                    for name, split in splits.items()
                    if split == "train" and digests[name] in moved
                }
            )


def _listed(path):
    """{name: split} from a file of lines "path,split"."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise UserError(
            f"There is no split list {path}. SPLIT_BY is content, folder, or a file "
            'of lines "path,split".'
        ) from None
    if rows and rows[0][-1] == "split":
        del rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[1] not in SPLIT_FOLDERS:
            raise UserError(
                f'{path}, entry {number}: expected "path,split" with train, '
                f"validation or test, got {','.join(row)!r}."
            )
    return {name: SPLIT_FOLDERS[split] for name, split in rows}


# --- the plan ---------------------------------------------------------------------------------


def _listing(source):
    """(pictures, others): the files below `source` by relative POSIX name, sorted."""
    pictures, others = [], []
    for path in photos.find(source):
        kind = pictures if photos.is_picture(path) else others
        kind.append(path.relative_to(source).as_posix())
    return sorted(pictures), sorted(others)


def _plan(source, settings):
    """Hash every picture, and say which shard it goes to."""
    names, others = _listing(source)
    if not names:
        raise UserError(
            f"There is no picture in {source}. DATA is a folder of photos, nested folders included."
        )

    def measure(name):
        data = (source / name).read_bytes()
        return name, len(data), files.sha256(data)

    with cli.progress(total=len(names), desc="hashing", unit="picture") as bar:
        found = []
        for item in records.ahead(measure, names, depth=64, workers=os.cpu_count()):
            found.append(item)
            bar.update()

    splits = _splits(
        found,
        settings["split_by"],
        settings["fractions"],
        settings.get("counts"),
        settings.get("validation"),
    )
    left_out = [[name, "no picture"] for name in others]
    reason = "beyond the counts" if "counts" in settings else "not in the split list"
    left_out += [[name, reason] for name in names if name not in splits]
    found = [item for item in found if item[0] in splits]
    labels = _labels([name for name, _, _ in found])

    # Sorted by content, then shuffled by the seed: shards do not depend on the order of a listing.
    found.sort(key=lambda item: (item[2], item[0]))
    order = np.random.default_rng(settings["seed"]).permutation(len(found))
    per_shard = max(1, min(SHARD_PICTURES, SHARD_BYTES // (3 * settings["image_size"] ** 2)))
    shards = []
    for split in records.SPLITS:
        members = [found[i] for i in order if splits[found[i][0]] == split]
        for start in range(0, len(members), per_shard):
            part = members[start : start + per_shard]
            shards.append(
                {
                    "name": f"{split}-{start // per_shard:05d}",
                    "split": split,
                    "files": {
                        "name": [name for name, _, _ in part],
                        "bytes": [size for _, size, _ in part],
                        "sha256": [digest for _, _, digest in part],
                        "label": [
                            labels.index(label) if (label := _class_of(name)) in labels else -1
                            for name, _, _ in part
                        ],
                    },
                }
            )
    return {
        **settings,
        "complete": False,
        "labels": labels,
        "mean_ab": [0.0, 0.0],
        "left_out": left_out,
        "shards": shards,
        "embeddings": {},
    }


def _class_of(name):
    """The class folder of a picture: the one it lies in, "" at the top or in a split's folder."""
    folder = Path(name).parent.name
    return "" if folder.lower() in SPLIT_FOLDERS else folder


def _labels(names):
    """The sorted class folders; [] where the pictures lie in one folder."""
    classes = sorted({_class_of(name) for name in names} - {""})
    return classes if len(classes) > 1 else []


def _read_plan(folder):
    path = folder / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema"] != records.SCHEMA:
            raise UserError(
                f"{path} has schema {manifest['schema']}, this version writes "
                f"{records.SCHEMA}. Delete {folder}; it is then made anew."
            )
        return manifest
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} is corrupt. Delete {folder}; it is then made anew.") from None


def _check_plan(manifest, settings, source, folder):
    """`UserError` if the settings or the source folder differ from what was planned."""
    for key, value in settings.items():
        if manifest.get(key) != value:
            raise UserError(
                f"{folder} was made with {key}={manifest.get(key)}, not {value}. "
                + _way_anew(manifest)
            )
    if not source.is_dir():
        if manifest["complete"] and not _damaged(manifest, folder):
            return  # the shards are all that is needed
        raise UserError(f"The source folder {source} is gone and {folder} is not finished.")
    planned = {
        name: size
        for shard in manifest["shards"]
        for name, size in zip(shard["files"]["name"], shard["files"]["bytes"], strict=True)
    }
    planned |= {name: size for name, size, _ in _unreadable(manifest)}
    excluded = {name for name, _ in manifest["left_out"]}
    now = {
        name: (source / name).stat().st_size for name in _listing(source)[0] if name not in excluded
    }
    if now != planned:
        changed = sorted(
            name for name in now.keys() | planned.keys() if now.get(name) != planned.get(name)
        )
        shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
        raise UserError(
            f"{source} changed since {folder} was planned: {len(changed)} files "
            f"({shown}). {_way_anew(manifest)}"
        )


def _way_anew(manifest):
    data = manifest["data"] if manifest["data"] in catalogue() else f"'{manifest['source']}'"
    return (
        f"Make it anew: `make data DATA={data} SIZE={manifest['image_size']} "
        f"CUT={manifest['cut']} OVERWRITE=1`."
    )


# --- shards -----------------------------------------------------------------------------------


def _damaged(manifest, folder):
    """Whether a shard of a finished data set is missing or has another size."""
    sizes = ((folder / f"{shard['name']}.tfrecord", shard["bytes"]) for shard in manifest["shards"])
    return any(not path.exists() or path.stat().st_size != size for path, size in sizes)


def _build(manifest, folder, source, embedding, weights, max_megapixels, for_training):
    """Write the shards that are missing, embed each while the next is decoded, finish."""
    embedder = _embedder(embedding, weights) if embedding else None
    total = sum(len(shard["files"]["name"]) for shard in manifest["shards"])
    with cli.progress(total=total, desc="pictures", unit="picture") as bar:
        # The bar follows what takes longest: the embedding, where there is one.
        advance = bar.update if embedder is None else lambda count: None
        make = functools.partial(
            _shard,
            folder=folder,
            source=source,
            size=manifest["image_size"],
            cut=manifest["cut"],
            max_megapixels=max_megapixels,
            advance=advance,
        )
        planned, manifest["shards"] = manifest["shards"], []
        for shard in records.ahead(make, planned, depth=2, workers=1):
            manifest["shards"].append(shard)
            if embedder:
                _embed_shard(folder, shard, embedder, bar.update)
                bar.update(len(shard["unreadable"]))
    _refuse_unreadable(manifest, total, "train" if for_training else None)
    trained = [shard for shard in manifest["shards"] if shard["split"] == "train"]
    pictures = sum(len(shard["offsets"]) for shard in trained)
    ab_sum = np.sum([shard["ab_sum"] for shard in trained], axis=0)
    # With nothing to train on there is no mean colour.
    mean_ab = [float(x) / pictures for x in ab_sum] if pictures else [0.0, 0.0]
    manifest |= {"complete": True, "mean_ab": mean_ab}
    if embedder:
        _note_embedding(manifest, folder, embedder, weights)
    files.write_json(folder / "manifest.json", manifest)
    for shard in manifest["shards"]:
        _sidecar(folder, shard).unlink(missing_ok=True)
    _summary(manifest, folder)


def _sidecar(folder, shard):
    return folder / f"{shard['name']}.json"


def _finished(shard, path, sidecar):
    """A shard's entry if an earlier try wrote it whole, else None."""
    if not path.exists():
        return None
    if "sha256" not in shard:
        if not sidecar.exists():
            return None
        shard = json.loads(sidecar.read_text(encoding="utf-8"))
    return shard if shard["sha256"] == files.sha256(path) else None


def _shard(shard, *, folder, source, size, cut, max_megapixels, advance):
    """Write one shard, or take it from an earlier try; return its entry of the manifest."""
    path, sidecar = folder / f"{shard['name']}.tfrecord", _sidecar(folder, shard)
    if done := _finished(shard, path, sidecar):
        advance(len(shard["files"]["name"]))
        return done
    rows = list(zip(*shard["files"].values(), strict=True))
    written, unreadable, statistics = [], list(shard.get("unreadable", [])), []

    def convert(row):
        name, _, digest, label = row
        data = (source / name).read_bytes()
        if files.sha256(data) != digest:
            raise UserError(
                f"{source / name} changed while {folder} was made. Delete {folder}; it "
                "is then made anew."
            )
        try:
            rgb = photos.decode(data, size, cut, max_megapixels)
        except photos.PhotoError as error:
            return None, str(error)
        ab = lab.rgb_to_lab(rgb)[..., 1:]
        grey = bool(np.abs(ab).max() < GREY)
        return records.encode_example(rgb, name, label), (ab.mean((0, 1), np.float64), grey)

    def examples():
        cores = os.cpu_count()
        results = records.ahead(convert, rows, depth=4 * cores, workers=cores)
        for row, (example, outcome) in zip(rows, results, strict=True):
            advance(1)
            if example is None:
                unreadable.append([row[0], row[1], outcome])
                continue
            written.append(row)
            statistics.append(outcome)
            yield example

    offsets = records.write_shard(path, examples())
    done = {
        "name": shard["name"],
        "split": shard["split"],
        "files": {
            key: list(column)
            for key, column in zip(
                shard["files"], zip(*written, strict=True) if written else ([],) * 4, strict=True
            )
        },
        "offsets": offsets,
        "bytes": path.stat().st_size,
        "sha256": files.sha256(path),
        "unreadable": unreadable,
        "grey": sum(grey for _, grey in statistics),
        "ab_sum": np.sum([ab for ab, _ in statistics] or [[0, 0]], axis=0).tolist(),
    }
    files.write_json(sidecar, done)
    return done


def _unreadable(manifest):
    """[name, bytes, reason] of every picture that could not be read."""
    return [item for shard in manifest["shards"] for item in shard.get("unreadable", [])]


def _refuse_unreadable(manifest, total, needed):
    """Name what was left out; too much of it is an error, and nothing left is one."""
    unreadable = _unreadable(manifest)
    for name, _, reason in unreadable[:20]:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if len(unreadable) > 20:
        print(f"left out: {len(unreadable) - 20} more, all in the manifest", file=sys.stderr)
    if len(unreadable) > UNREADABLE * total:
        name, _, reason = unreadable[0]
        raise UserError(
            f"{len(unreadable)} of {total} pictures in {manifest['source']} are "
            f"unreadable (the first: {name}: {reason}). Mend or remove them."
        )
    if needed and not any(
        shard["offsets"] for shard in manifest["shards"] if shard["split"] == needed
    ):
        raise UserError(f"No picture of {manifest['source']} is in the training split.")


def _summary(manifest, folder):
    counts = dict.fromkeys(records.SPLITS, 0)
    for shard in manifest["shards"]:
        counts[shard["split"]] += len(shard["offsets"])
    grey = sum(shard["grey"] for shard in manifest["shards"])
    print(
        f"{sum(counts.values())} pictures in {folder}: "
        + ", ".join(f"{count} {split}" for split, count in counts.items())
        + f"; {len(_unreadable(manifest))} unreadable, {len(manifest['left_out'])} other files"
        + (f"; {grey} of the pictures are grey" if grey else ""),
        flush=True,
    )


# --- embeddings -------------------------------------------------------------------------------


def _request(embedding, weights):
    """What was asked for, so that it is known again without loading the network."""
    path = Path(weights)
    return [embedding, files.sha256(path) if path.is_file() else weights]


def _stored_key(manifest, embedding, weights):
    """The key of a stored embedding that answers the request, or None."""
    wanted = [_request(embedding, weights)]
    if weights == "auto":
        wanted.append([embedding, "imagenet"])
    for key, entry in reversed(manifest["embeddings"].items()):
        if any(request in wanted for request in entry["requests"]):
            return key
    return None


def _embedder(embedding, weights):
    """The embedding network; weights from a file are kept beside the models that will need them."""
    embedder = embeddings.load(embedding, weights)
    embedder.keep("models")
    return embedder


def _add_embedding(manifest, folder, embedding, weights):
    """Add an embedding to finished shards, whose pictures stay as they are."""
    key = _stored_key(manifest, embedding, weights)
    if key and (weights != "auto" or manifest["embeddings"][key]["weights"] == "imagenet"):
        entry = manifest["embeddings"][key]
        paths = {name: records.embedding_path(folder, name, key) for name in entry["bytes"]}
        if all(
            path.exists() and path.stat().st_size == entry["bytes"][name]
            for name, path in paths.items()
        ):
            return
    embedder = _embedder(embedding, weights)
    total = sum(len(shard["offsets"]) for shard in manifest["shards"])
    with cli.progress(total=total, desc="embeddings", unit="picture") as bar:
        for shard in manifest["shards"]:
            _embed_shard(folder, shard, embedder, bar.update)
    _note_embedding(manifest, folder, embedder, weights)
    files.write_json(folder / "manifest.json", manifest)


def _embed_shard(folder, shard, embedder, advance):
    """Write a shard's embeddings; batches never cross a shard, the last one is padded."""
    target = records.embedding_path(folder, shard["name"], embedder.sha256[:12])
    if _has_rows(target, len(shard["offsets"])):
        advance(len(shard["offsets"]))
        return
    source = folder / f"{shard['name']}.tfrecord"

    def lightness(start):
        part = shard["offsets"][start : start + embeddings.BATCH]
        return np.stack(
            [
                lab.rgb_to_l(records.decode_example(records.read_record(source, offset))["rgb"])
                for offset in part
            ]
        )[..., None]

    starts = range(0, len(shard["offsets"]), embeddings.BATCH)
    rows = [np.empty((0, embeddings.CLASSES), np.float32)]
    for l in records.ahead(lightness, starts):
        rows.append(embedder(l, pad=True))
        advance(len(l))
    with files.replacing(target) as temporary:
        np.save(temporary, np.concatenate(rows))


def _has_rows(path, rows):
    try:
        return np.load(path, mmap_mode="r").shape == (rows, embeddings.CLASSES)
    except (OSError, ValueError):
        return False


def _note_embedding(manifest, folder, embedder, weights):
    key = embedder.sha256[:12]
    known = manifest["embeddings"].pop(key, {"requests": []})
    request = _request(embedder.network, weights)
    manifest["embeddings"][key] = {
        **embedder.metadata,
        "requests": [r for r in known["requests"] if r != request] + [request],
        "bytes": {
            shard["name"]: records.embedding_path(folder, shard["name"], key).stat().st_size
            for shard in manifest["shards"]
        },
    }


# --- the command ------------------------------------------------------------------------------


def add_arguments(parser):
    """The flags that say which data: shared by every command that may have to prepare it."""
    parser.add_argument(
        "--data", default="samples", help="a folder of pictures, or a name in data/sources.toml"
    )
    pretrained.add_weights(parser, "embedding")
    parser.add_argument("--split-by", help='content, folder, or a file of lines "path,split"')
