"""Training on several devices and hosts: the losses and the weights of one, up to rounding."""

import os
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from common.cli import UserError
from common.networks import h5
from common.training import devices
from common.training.hosts import Hosts
from tests import drawn, ports
from tests.training import home

WHAT = [
    (("two",), "DEVICES=two: give a number, or all."),
    ((0,), "DEVICES=0: at least one"),
    ((None, None, 2, 0), "COORDINATOR= is missing"),
    ((None, "here:1", None, None), "HOSTS= and HOST_ID= are missing"),
    ((None, "here:1", 1, 0), "HOSTS=1: several are at least 2"),
    ((None, "here:1", 2, 2), "HOST_ID=2: of 2 hosts, give one from 0 to 1."),
    ((None, "here:1", 2, -1), "HOST_ID=-1"),
]


@pytest.mark.parametrize(("options", "line"), WHAT)
def test_options_that_do_not_go_together(options, line):
    with pytest.raises(UserError, match=line), devices.opened(*options):
        pass


def test_several_hosts_need_jax():
    if keras.backend.backend() == "jax":
        pytest.skip("the backend is JAX")
    with pytest.raises(UserError, match="set KERAS_BACKEND=jax"):
        devices.check(None, "here:1", 2, 0)


def test_more_devices_than_there_are():
    with pytest.raises(UserError, match=r"DEVICES=99: this machine has \d+"), devices.opened(99):
        pass


def test_a_batch_is_divided_equally():
    four = devices.Devices(("a", "b"), Hosts(1, 2))
    assert four.count == 4 and four.share(16) == slice(8, 16)
    four.check(16)
    with pytest.raises(UserError, match="Take BATCH=8 or BATCH=12,"):
        four.check(10)
    with pytest.raises(UserError, match="Take BATCH=4,"):
        four.check(3)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    with home.current(tmp_path):
        assert home.command("--hosts=2") == 2
    assert capsys.readouterr().err == (
        "error: COORDINATOR= and HOST_ID= are missing: several hosts need COORDINATOR=host:port of "
        "host 0, HOSTS= how many there are, and HOST_ID= from 0 on, another on each.\n"
    )


# Two devices on a processor: virtual ones, which have to be made before a backend starts.
TWO = """
import os
if os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow as tf
    (processor,) = tf.config.list_physical_devices("CPU")
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, halves)
from common import training
from tests.training import normalised
training.batches.accelerated = lambda: True  # views and Lab in the compiled step, as on GPUs


def run(name, **options):
    options = {"precision": "float32", "published": False, "run": name} | options
    return training.train(normalised.REPORT, data="photos", **options)


run("one")
run("parts", devices="all", epochs=1)
run("parts", epochs=2)  # continued on one device
try:
    run("odd", devices=2, batch=5)
except training.run.UserError as error:
    assert "cannot be divided equally among 2 devices" in str(error)
else:
    raise AssertionError
"""


def environment(backend, count=1, **more):
    """The environment of a process on a backend, with so many virtual devices on JAX."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"
    names = {"KERAS_BACKEND": backend, "PYTHONPATH": str(home.ROOT), "XLA_FLAGS": flags}
    return {**os.environ, **names, **more}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """trained(backend): the folder where the runs of `TWO` are, made once."""
    made = {}

    def of(backend):
        if backend not in made:
            pytest.importorskip(backend)
            folder = made[backend] = tmp_path_factory.mktemp(backend)
            drawn.folder(folder / "photos", 40, 40)
            process = subprocess.run(
                [sys.executable, "-c", TWO],
                cwd=folder,
                text=True,
                capture_output=True,
                env=environment(backend, 2),
            )
            assert process.returncode == 0, process.stderr
            assert "goes on after 1 epochs" in process.stdout
        return made[backend]

    return of


def weights(folder, run):
    """The exported network's weights; it has no trace of several devices."""
    model = h5.load(folder / "runs" / run / "normalised.h5")
    norm = model.get_layer("normalised").get_layer("norm")
    assert type(norm) is keras.layers.BatchNormalization and not norm.synchronized
    return model.get_weights()


def assert_same(*runs):
    """The same losses, scores and weights up to rounding, of two (folder, run)."""
    histories = [home.progress(*run)["history"] for run in runs]
    for ours, theirs in zip(*histories, strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"seconds"}:
            # Rounding alone: a step of another batch, or statistics of half of it, is off by 1e-2.
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4), key
    for ours, theirs in zip(*(weights(*run) for run in runs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_are_one(trained, backend):
    folder = trained(backend)
    assert_same((folder, "one"), (folder, "parts"))


def start(folder, host, port, *flags, **more):
    """One of two hosts, as a process of its own."""
    flags = [f"--coordinator=localhost:{port}", "--hosts=2", f"--host-id={host}", *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.normalised", *home.FLAGS, "--unpublished", *flags],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment("jax", **more),
    )


def ended(processes):
    """[(exit code, standard output, standard error)] of processes."""
    said = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


@pytest.mark.slow
def test_two_hosts_are_one_and_survive_the_death_of_one(trained, tmp_path):
    reference = trained("jax")
    shutil.copytree(reference / "photos", tmp_path / "photos")
    shutil.copytree(reference / "data", tmp_path / "data")

    port = ports.free()
    first, second = ended(
        [
            start(tmp_path, 0, port, "--checkpoint-seconds=0"),
            start(tmp_path, 1, port, SIGNAL=str(int(signal.SIGKILL))),
        ]
    )
    assert second[0] == -signal.SIGKILL and first[0] == 2, (first, second)
    assert first[2].splitlines()[-1] == (
        "error: Host 1 has ended. Start the same command again on every host: it goes on from the "
        "last checkpoint."
    )
    assert home.progress(tmp_path)["step"] >= 2

    port = ports.free()
    first, second = ended([start(tmp_path, host, port) for host in (0, 1)])
    assert first[0] == second[0] == 0, (first, second)
    assert "goes on after 0 epochs" in first[1] and "exported" not in second[1]
    told = [re.findall("^weights .*", each[1], re.MULTILINE) for each in (first, second)]
    assert told[0] == told[1] and len(told[0]) == 1  # the same bits on both
    assert_same((reference, "one"), (tmp_path, "r"))
