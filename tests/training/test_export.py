"""A run that is killed while it exports is not taken for one that has done so."""

import types

import pytest

from common.networks import h5
from common.training import export
from tests import drawn


@pytest.fixture
def trainer(tmp_path):
    """A trainer, as far as `exported` looks at it, after two epochs that were exported."""
    model = h5.load(drawn.exported(tmp_path / "untrained.h5"))
    h5.export(model, tmp_path / "m.h5", {"epochs": 2})
    return types.SimpleNamespace(folder=tmp_path, progress=types.SimpleNamespace(epoch=2))


def test_a_whole_export_of_all_epochs_is_one(trainer):
    assert export.exported(trainer, trainer.folder / "m.h5")
    assert not export.exported(trainer, trainer.folder / "other.h5")


def test_one_of_fewer_epochs_is_none(trainer):
    trainer.progress.epoch = 4
    assert not export.exported(trainer, trainer.folder / "m.h5")


def test_one_that_was_killed_before_it_was_published_is_none(trainer):
    (trainer.folder / export.BEGUN).touch()
    assert not export.exported(trainer, trainer.folder / "m.h5")


def test_a_damaged_one_is_none(trainer):
    path = trainer.folder / "m.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not export.exported(trainer, path)
