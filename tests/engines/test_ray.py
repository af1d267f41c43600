"""ENGINE=ray writes what this process alone writes, byte for byte, even if a worker is killed.

One Ray, started once for all tests here.
"""

import concurrent.futures
import functools
import importlib.util
import os
import signal
import socket

import cv2
import keras
import pytest
from keras import layers

from common import datasets, engines
from common.cli import UserError
from common.colorize import folder as colorize_folder
from common.colorize.places import Options as Places
from common.colorize.settings import Settings
from common.config import Config
from common.datasets import features, maps
from common.evaluation import evaluate
from common.networks import embeddings, frozen
from tests import drawn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs Ray: make setup RAY=1"
    ),
]
SIDE = 16


@pytest.fixture(scope="module")
def cluster():
    with engines.started("ray") as engine:
        yield engine


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with 24 photos, one of them broken, and a model."""
    home = tmp_path_factory.mktemp("ray")
    (home / "photos").mkdir()
    for seed in range(24):
        cv2.imwrite(str(home / "photos" / f"{seed:02d}.png"), drawn.picture(seed, 40, 48))
    (home / "photos" / "x.jpg").write_bytes(b"\xff\xd8\xff no photo")
    l = keras.Input((SIDE, SIDE, 1), name="l")
    keras.Model({"l": l}, layers.Conv2D(2, 3, padding="same", activation="tanh")(l)).save(
        home / "model.h5"
    )
    return home


def content(folder):
    """{name: bytes} of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def embedder():
    """A small one, in place of that of an ImageNet network."""
    keras.utils.set_random_seed(1)
    grey = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(grey))
    return embeddings.Embedder("mobilenet_v2", keras.Model(grey, layers.Dense(1000)(x)), "random")


@pytest.fixture(scope="module")
def local(home):
    """The shards, made here alone, with an embedding and maps."""
    return _prepared(home, home / "local", engines.LOCAL)


def _prepared(home, folder, engine):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "load", lambda *given: embedder())
        dataset = datasets.prepare(
            home / "photos", SIDE, "squash", "mobilenet_v2", "random",
            folder=folder, engine=engine, shard_pictures=5,
        )  # fmt: skip
    l = keras.Input((SIDE, SIDE, 1), name="l")
    keras.utils.set_random_seed(2)
    x = layers.Conv2D(3, 3, name="first")(l)
    network = keras.Model({"l": l}, layers.Conv2D(2, 1, name="last")(x))
    first, _ = frozen.cut(network, ["first"])
    sources = {"first": {"network": "first", "weights": "random", "sha256": "0"}}
    maps.store(dataset, frozen.Frozen(first, Config(), sources), mirrored=True, engine=engine)
    return dataset


def refusing(cores):
    def stage(items):
        raise UserError(f"no, {list(items)}.")
        yield

    return stage


def test_a_users_mistake_in_a_worker_is_one_here(cluster):
    """In a thread that ends then: Ray, which later tests need, must not have been its child."""
    work = cluster.run(refusing, [1, 2])
    with concurrent.futures.ThreadPoolExecutor(1) as pool, pytest.raises(UserError, match="no, "):
        pool.submit(list, work).result()


def test_shards_manifest_embeddings_and_maps_are_the_same(home, local, cluster):
    made = _prepared(home, home / "shared", cluster)
    assert content(made.folder) == content(local.folder)
    kinds = {name.partition(".")[2] for name in content(made.folder)}
    assert {"tfrecord", "json"} < kinds and len(kinds) == 5  # embeddings, maps, mirrored maps


def test_coloured_photos_and_their_report_are_the_same(home, cluster, capsys):
    settings = Settings(model=home / "model.h5", runtime="keras")
    options = [Places(home / "photos", home / name, isolate="no") for name in ("here", "there")]
    for each in options:
        each.out.mkdir()
    with colorize_folder.started(settings, "no", 2) as here:
        assert colorize_folder.colour_folder(options[0], here) == 1
    said = capsys.readouterr().out.replace("here", "there")
    assert colorize_folder.colour_apart(options[1], settings, cluster) == 1
    assert content(options[1].out) == content(options[0].out)
    assert capsys.readouterr().out == said


def test_an_evaluation_is_the_same(home, local, cluster):
    results = []
    for engine in (engines.LOCAL, cluster):
        options = evaluate.Options(batch_size=2, engine=engine, of_batches=("psnr_ab_batch",))
        results.append(
            evaluate.evaluate([home / "model.h5"], local, "train", None, options).to_json()
        )
    assert results[0] | {"created": 0} == results[1] | {"created": 0}


def dying(flag, cores):
    """The stage n -> (n, process), which is killed once, at 7."""

    def stage(items):
        for item in items:
            if item == 7 and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield item, os.getpid()

    return stage


def test_a_killed_worker_costs_its_piece_and_not_the_run(tmp_path, cluster):
    flag = tmp_path / "killed"
    load = functools.partial(dying, flag)
    results = list(cluster.run(load, range(16), piece=2))
    assert [item for item, _ in results] == list(range(16)) and flag.exists()
    assert len({process for _, process in results}) > 1


def test_an_address_at_which_no_cluster_answers_is_one_line(monkeypatch):
    from common.engines import cluster as module

    monkeypatch.setattr(module, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with (
            engines.started("ray", address) as engine,
            pytest.raises(UserError, match="cannot be joined"),
        ):
            list(engine.run(refusing, [1]))
