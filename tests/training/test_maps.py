"""Training from the stored maps of frozen layers: the same training, whether stored or not."""

import dataclasses
import json
import shutil
import signal

import keras
import numpy as np
import pytest

from common import datasets, training
from common.cli import UserError
from common.commands import train
from common.datasets import maps
from common.networks import frozen, h5
from common.training import augment
from tests.training import home as runs
from tests.training import mapped

SIZE = 2 * (16 * 16 * 3 + 8 * 8 * 4)  # bytes of a view's maps, by hand


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return runs.make(tmp_path)


def _train(config="flips", **options):
    settings = {"precision": "float32", "run": "r", "published": False} | options
    return training.train(mapped.REPORT, config, "photos", **settings)


def _stored(dataset):
    return sorted(dataset.folder.glob("*.maps-*.npy"))


def _frozen(seed=0, scale=1):
    """(the encoder, the frozen part of the network), the encoder's weights times `scale`."""
    config = mapped.CONFIGS["flips"]
    network = mapped.build_model(config)
    about = mapped.load_encoder(network, config, "random")
    encoder = network.get_layer("encoder")
    rng = np.random.default_rng(seed)
    encoder.set_weights([scale * rng.normal(size=w.shape) for w in encoder.get_weights()])
    return encoder, frozen.Frozen(frozen.cut(network, ["encoder"])[0], config, {"encoder": about})


def test_stored_maps_give_the_same_training(home):
    """To the rounding of float16, 2^-11 of each value of the maps, as 19 steps of Adam carry it."""
    stored, live = _train(epochs=1), _train(epochs=1, maps=False, run="live")
    assert _stored(stored.dataset)
    for key in ("loss", "val_loss", "val_mse_ab"):
        ours, theirs = stored.history[0][key], live.history[0][key]
        assert ours == pytest.approx(theirs, rel=5e-3), key
    other = _train(epochs=1, seed=1, maps=False, run="other")  # another order and start
    assert stored.history[0]["loss"] != pytest.approx(other.history[0]["loss"], rel=5e-3)
    l = np.random.default_rng(0).uniform(0, 100, (2, 32, 32, 1)).astype("f4")
    ab = [h5.load(run.model).predict_on_batch({"l": l}) for run in (stored, live)]
    assert ab[0] == pytest.approx(ab[1], abs=0.5) and np.std(ab[0]) > 1  # Lab units


def test_the_maps_are_those_of_each_view_in_training(home):
    config, dataset = mapped.CONFIGS["flips"], datasets.prepare("photos", 32, "squash")
    encoder, extractor = _frozen()
    reader = maps.store(dataset, extractor, mirrored=True)
    batches = training.Batches(mapped.build_model(config), config, dataset, maps=reader)
    turned = 0
    for step in range(4):
        inputs, _ = batches(step)
        expected = encoder.predict_on_batch(0.5 * inputs["l"])
        for name, values in zip(("fine", "coarse"), expected, strict=True):
            given = inputs[f"encoder_{name}"]
            assert given.dtype == np.float16
            assert given == pytest.approx(values, rel=1e-3, abs=1e-3)  # float16's rounding
        numbers = range(2 * step, 2 * step + 2)
        turned += sum(augment.mirrors(config.augment, 0, number) for number in numbers)
    assert 0 < turned < 8


def test_a_stopped_run_goes_on_to_the_same_bits(home):
    _train(run="whole")
    assert _train(callbacks=(runs.Stop(25),)).stopped_by == signal.SIGTERM
    _train()
    assert runs.state(home) == runs.state(home, "whole")


def test_the_export_is_the_whole_network(home):
    run = _train(epochs=1)
    metadata = h5.metadata(run.model)
    assert run.metrics["mse_ab"] == pytest.approx(run.history[-1]["val_mse_ab"], rel=1e-2)
    assert metadata["config"]["maps"] is True
    assert metadata["pretrained"]["encoder"]["weights"] == "random"
    model = keras.models.load_model(run.model, compile=False)
    assert model.get_layer("mapped").get_layer("encoder")
    _train(epochs=1, steps=1, run="second", init=run.model)  # which holds the encoder too


def test_what_is_stored_and_where_it_says_so(home, capsys):
    dataset, (_, extractor) = datasets.prepare("photos", 32, "squash"), _frozen()
    maps.store(dataset, extractor, mirrored=True)
    shards = dataset.manifest["shards"]
    views = sum(s["count"] * (1 + (s["split"] == "train")) for s in shards)
    assert f"{views:,} views" in capsys.readouterr().out
    assert {np.load(path).dtype for path in _stored(dataset)} == {np.dtype("f2")}
    assert sum(np.load(path).nbytes for path in _stored(dataset)) == views * SIZE
    (entry,) = json.loads((dataset.folder / "manifest.json").read_text())["maps"].values()
    assert entry["networks"]["encoder"]["weights"] == "random"
    assert entry["shapes"] == {"encoder_fine": [16, 16, 3], "encoder_coarse": [8, 8, 4]}
    assert entry["bytes"] == {path.name: path.stat().st_size for path in _stored(dataset)}


def test_only_what_is_missing_is_computed(home):
    dataset, (_, extractor) = datasets.prepare("photos", 32, "squash"), _frozen()
    maps.store(dataset, extractor, mirrored=False)
    times = {path: path.stat().st_mtime_ns for path in _stored(dataset)}
    gone, *_ = times
    whole = gone.read_bytes()
    gone.write_bytes(whole[:-1])  # as a disk that was full may leave it
    maps.store(dataset, extractor, mirrored=True)
    changed = {path for path in times if path.stat().st_mtime_ns != times[path]}
    assert changed == {gone} and gone.read_bytes() == whole
    assert len(_stored(dataset)) == len(times) + 1  # the training shard's mirror images


def test_damaged_maps_are_made_anew_as_they_are_read(home, capsys):
    dataset, (_, extractor) = datasets.prepare("photos", 32, "squash"), _frozen()
    reader = maps.store(dataset, extractor, mirrored=False)
    path = reader.path("train-00000", mirrored=False)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    reader.read("train", range(dataset.count("train")))
    assert path.read_bytes() == whole and f"{path} is corrupt" in capsys.readouterr().out


def test_maps_of_other_weights_are_others(home):
    dataset = datasets.prepare("photos", 32, "squash")
    stored = []
    for seed in (0, 1):
        maps.store(dataset, _frozen(seed)[1], mirrored=False)
        stored.append(set(_stored(dataset)))
    assert stored[0] < stored[1] and len(stored[1]) == 2 * len(stored[0])
    assert len(datasets.Dataset(dataset.folder).manifest["maps"]) == 2


def test_maps_beyond_float16_are_one_line(home):
    dataset = datasets.prepare("photos", 32, "squash")
    with pytest.raises(UserError, match="exceed what float16 holds. MAPS=no"):
        maps.store(dataset, _frozen(scale=1e6)[1], mirrored=False)
    assert not _stored(dataset)


def test_without_room_nothing_is_written_and_no_run_begun(home, monkeypatch):
    full = shutil._ntuple_diskusage(1e9, 1e9, 1e5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(UserError, match=r"maps of encoder take .*100kB are free.*MAPS=no"):
        _train()
    assert not _stored(datasets.prepare("photos", 32, "squash"))
    assert _train(maps=False, epochs=1, steps=1).model  # the way that the error names


@pytest.mark.parametrize(
    ("config", "reason"), [("zooms", "views by zoom"), ("thaws", "layers train too")]
)
def test_where_maps_cannot_serve_they_are_computed_as_it_goes(home, config, reason, capsys):
    run = _train(config, steps=1)
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("maps"))
    assert reason in line and not _stored(run.dataset)


def test_the_flag(home, capsys):
    assert train.parse(["--maps=no"], mapped.REPORT).options.maps is False
    assert train.parse(["--maps=yes"], mapped.REPORT).options.maps is True
    assert train.parse([], mapped.REPORT).options.maps is None
    with pytest.raises(SystemExit, match="2"):
        train.parse(["--maps=perhaps"], mapped.REPORT)
    assert "must be yes or no" in capsys.readouterr().err
    bare = dataclasses.replace(mapped.REPORT, pretrained={})
    with pytest.raises(UserError, match="--maps: mapped has no frozen layers"):
        training.train(bare, "flips", "photos", maps=True)
