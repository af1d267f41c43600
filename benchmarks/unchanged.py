"""Results that a change of structure must not change, in one JSON file to compare before and after.

    python -m benchmarks.unchanged before.json                  # on the code as it was
    python -m benchmarks.unchanged after.json --against before.json

It uses only commands and Keras, none of our modules, so that it runs before and after a move. It
writes: a hash of every shard file; a hash of all variables after ten seeded steps of every config
at a small size; the same for a run that was stopped after an epoch and resumed; a hash of the
exported models' predictions; and metrics.json of a fixed evaluation. Equal means equal bits, so
run both sides on one machine in float32.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIZE = 32
RUNS = {  # name: the report and the flags of its training
    **{
        f"koala {name}": ("koala", f"--config={name}", "--embedding=mobilenet_v2")
        for name in ("lee2021", "baldassarre2017", "lee2021_decay")
    },
    **{
        f"iizuka {name}": ("iizuka", f"--config={name}")
        for name in ("jain", "jain_unnormalised", "iizuka2016")
    },
    **{
        f"vgg_autoencoder {name}": ("vgg_autoencoder", f"--config={name}", "--vgg16-weights=random")
        for name in ("zaman2020", "zaman2020_unregularised", "zaman2020_finetuned")
    },
    "vgg_autoencoder mobilenet_v2": (
        "vgg_autoencoder",
        "--config=mobilenet_v2",
        "--mobilenet-v2-weights=random",
    ),
    "cs230 fusion": ("cs230", "--config=fusion", "--embedding=mobilenet_v2"),
    "cs230 plain": ("cs230", "--config=plain"),
    **{
        f"feup {name}": (
            "feup",
            f"--config={name}",
            "--resnet18-weights=random",
            "--densenet-weights=random",
        )
        for name in ("resnet18_mse", "densenet_mse", "eccv16_mse", "eccv16_rebalanced")
    },
    "feup resnet18_mobilenet_v2": (
        "feup",
        "--config=resnet18_mobilenet_v2",
        "--resnet18-weights=random",
        "--mobilenet-v2-weights=random",
    ),
    "feup resnet18_lpips": (
        "feup",
        "--config=resnet18_lpips",
        "--resnet18-weights=random",
        "--vgg16-weights=random",
        "--lpips-weights=none",
    ),
    "koala bins": ("koala", "--embedding=mobilenet_v2", "--bins", "--rebalance"),
}
EVALUATED = ("feup resnet18_mse", "koala lee2021", "iizuka jain")

# What differs from run to run, and what this version corrects. `steps` of the config in a model's
# metadata was the config's own where --steps gave another number. A config in the metadata has
# every field of common.config.Config now, where it had those of the report's own class: fields that
# the first file lacks are no difference.
IGNORED = {"created", "versions", "commit", "file", "sha256", "seconds"}
CORRECTED = {"steps"}
# Sentences of the protocol that have been reworded.
REWORDED = re.compile(r"/protocol/(best|metrics/\w+/definition)$")


def pictures(folder, count=60):
    """Drawn pictures in two class folders: equal bytes everywhere."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:1:40j, 0:1:40j]
        out = np.zeros((40, 40, 3))
        for _ in range(4):
            cx, cy, spread = rng.random(), rng.random(), rng.uniform(0.1, 0.5)
            out += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / spread**2)[..., None] * rng.uniform(
                0, 255, 3
            )
        path = folder / ("one", "two")[seed % 2] / f"{seed:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.clip(out, 0, 255).astype(np.uint8))


def command(*words):
    """Run a module in the current folder, quietly; its output is printed where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def train(name, run, *more):
    """Train one of `RUNS`."""
    report, *flags = RUNS[name]
    command(
        f"{report}.train",
        "--data=photos",
        f"--size={SIZE}",
        "--batch=2",
        "--steps=5",
        "--precision=float32",
        "--embedding-weights=random",
        f"--run={run}",
        "--unpublished",
        *flags,
        *more,
    )


def checkpoint(run):
    """A hash over all arrays of a run's checkpoint, and its history without times."""
    digest = hashlib.sha256()
    with np.load(Path("runs", run, "checkpoint.npz")) as stored:
        for key in sorted(set(stored.files) - {"progress"}):
            digest.update(f"{stored[key].shape}{stored[key].dtype}".encode())
            digest.update(stored[key].tobytes())
        history = json.loads(str(stored["progress"]))["history"]
    return {
        "variables": digest.hexdigest(),
        "history": [
            {key: value for key, value in epoch.items() if key != "seconds"} for epoch in history
        ],
    }


def predicted(path):
    """A hash of an exported model's ab for a fixed input, by Keras alone."""
    import keras

    model = keras.models.load_model(path, compile=False)
    rng = np.random.default_rng(0)
    inputs = {
        tensor.name: rng.uniform(0, 100, (2, *(side or SIZE for side in tensor.shape[1:]))).astype(
            np.float32
        )
        for tensor in model.inputs
    }
    return hashlib.sha256(np.asarray(model.predict_on_batch(inputs)).tobytes()).hexdigest()


def without(content, ignored):
    """JSON without the keys of what may differ."""
    if isinstance(content, dict):
        return {
            key: without(value, ignored) for key, value in content.items() if key not in ignored
        }
    if isinstance(content, list):
        return [without(value, ignored) for value in content]
    return content


def collect():
    """Everything to compare, made in the current folder."""
    results = {}
    pictures(Path("photos"))
    for name in RUNS:
        print(name, flush=True)
        run = name.replace(" ", "-")
        train(name, run, "--epochs=2")
        results[name] = checkpoint(run) | {
            "export": predicted(next(Path("runs", run).glob("*.h5")))
        }
    for name in ("cs230 plain", "feup eccv16_rebalanced"):
        run = f"stopped-{name.replace(' ', '-')}"
        train(name, run, "--epochs=1")
        train(name, run, "--epochs=2")
        results[f"{name}, stopped"] = checkpoint(run)
        assert results[f"{name}, stopped"]["variables"] == results[name]["variables"], name
    results["shards"] = {
        str(path.relative_to("data/tfrecords")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path("data/tfrecords").rglob("*"))
        if path.suffix in (".tfrecord", ".npy")
    }
    for name in EVALUATED:
        path = Path("runs", name.replace(" ", "-"), "evaluation", "metrics.json")
        content = json.loads(path.read_text(encoding="utf-8"))
        results[f"metrics of {name}"] = without(content, IGNORED | CORRECTED)
    return results


def differences(one, other, path=""):
    """Yield a line for each difference between two JSON contents: its path and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() if path.endswith("/config") else one.keys() | other.keys()
        for key in sorted(keys):
            yield from differences(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{path}/{at}")
    elif one != other and not REWORDED.search(path):
        yield f"{path}: {str(one)[:60]} -> {str(other)[:60]}"


def main():
    """Write the file, and compare it where there is another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    out, against = args.out.resolve(), args.against and args.against.resolve()
    # Always the same folder: the path of the pictures is a part of a data set's name.
    folder = Path(tempfile.gettempdir(), "colorization-unchanged")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    results = json.loads(json.dumps(collect()))
    os.chdir(ROOT)
    shutil.rmtree(folder)
    out.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if against:
        different = list(differences(json.loads(against.read_text(encoding="utf-8")), results))
        print("\n".join(different) or "equal")
        sys.exit(bool(different))


if __name__ == "__main__":
    main()
