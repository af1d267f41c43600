"""DETERMINISTIC=1: what it asks of each backend; what that gives: benchmarks/determinism.py."""

import keras
import pytest

from common.cli import UserError
from common.networks import determinism
from tests.training import home


def test_tensorflow_takes_deterministic_operations():
    pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("is of the backend TensorFlow")
    from tensorflow.python.framework import config

    assert not config.is_op_determinism_enabled()
    try:
        determinism.enable()
        assert config.is_op_determinism_enabled()
    finally:
        config.disable_op_determinism()


def test_jax_gets_xlas_flag_once_beside_others(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    determinism.enable()
    determinism.enable()
    assert determinism.os.environ["XLA_FLAGS"] == f"--xla_dump_to=x {determinism.XLA_FLAG}"


def test_another_backend_is_one_line(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="for TensorFlow and JAX, and the backend is torch"):
        determinism.enable()


def test_a_training_asks_for_it_before_it_builds_anything(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def enabled():
        raise UserError("enabled")

    monkeypatch.setattr(determinism, "enable", enabled)
    with pytest.raises(UserError, match="enabled"):
        home.train(deterministic=True)
    with pytest.raises(UserError, match="photos"):  # which are not there
        home.train()
