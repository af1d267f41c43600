"""The command `colorization`: its table, its errors, and the flags of every subcommand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from common import cli
from common.commands import __main__ as colorization
from common.commands import reports
from common.networks import backend

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    "data config embedding embedding-weights epochs steps batch size precision run seed split-by "
    "overwrite bins rebalance embed-views embed-from init"
)
FLAGS = {
    "weights": "archive",
    "data": "data size cut embedding embedding-weights embed-from seed split-by overwrite "
    "max-megapixels",
    "finetune": "data model keep general epochs steps batch seed split-by embedding-weights maps "
    "precision run overwrite",
    "eval": "data size cut embedding embedding-weights embed-from batch precision model out split "
    "split-by rebalance against predictions preset metrics classifier classifier-weights "
    "inception-v3-weights vgg16-weights mobilenet-v2-weights perceptual lpips-weights",
    "colorize": "in out model embedding-weights precision overwrite max-megapixels isolate runtime "
    "vivid tint variants clean border refine",
    "export": "model format quantize calibrate embedding-weights overwrite out",
    "demo": "host port max-megabytes max-megapixels isolate model embedding-weights precision "
    "runtime vivid tint clean border refine",
    "page": "model quantize calibrate archive out",
    "video": "in out model steady colour lossless vivid tint overwrite precision",
    "survey-results": "in key",
    "train koala": TRAIN,
    "train iizuka": TRAIN,
    "train cs230": TRAIN,
    "train vgg_autoencoder": f"{TRAIN} maps vgg16-weights mobilenet-v2-weights",
    "train wombat": f"{TRAIN} maps efficientnet-lite-weights",
    "train feup": f"{TRAIN} resnet18-weights densenet-weights vgg16-weights mobilenet-v2-weights "
    "lpips-weights",
    **{
        f"survey {report}": "data embedding-weights embed-from model out precision recoloured "
        "originals seed split split-by"
        for report in reports.names()
    },
    **{
        f"reproduce {report}": "data split-by embedding-weights config embedding precision epochs "
        "steps batch size seed"
        for report in reports.names()
    },
    "compare vgg_autoencoder": "data split-by size",  # and those of its training
    "brown cs230": "data split-by size changes embedding embedding-weights",
    "changes wombat": "data split-by size config changes",
    "study feup": "data split-by size config vgg16-weights lpips-weights",
    "pretext feup": "data split-by size batch epochs colorizer-epochs labels seeds precision run "
    "resnet18-weights",
}


def test_every_subcommand_is_tested_with_every_report():
    assert set(FLAGS) == {
        f"{name} {report}".strip()
        for name, subcommand in colorization.SUBCOMMANDS.items()
        for report in (reports.names(subcommand.part) if subcommand.takes_report else [""])
    }


@pytest.mark.parametrize("words", FLAGS)
def test_a_subcommand_knows_its_flags(words, capsys):
    with pytest.raises(SystemExit) as ended:
        colorization.main([*words.split(), "--help"])
    assert ended.value.code == 0
    listed = re.findall(r"--[a-z0-9-]+", capsys.readouterr().out)
    assert {f"--{name}" for name in FLAGS[words].split()} <= set(listed)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_lists_every_subcommand_and_report(argv, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["colorization", *argv])
    assert cli.run(colorization.main) == 0
    output = capsys.readouterr().out
    listed = re.findall(r"^  ([\w-]+)(?: REPORT)?  +\w", output, re.MULTILINE)
    assert listed == list(colorization.SUBCOMMANDS)
    assert all(report in output for report in reports.names())


def test_help_of_a_subcommand_with_a_report_lists_the_reports(capsys):
    assert cli.run(colorization.main, ["study", "--help"]) == 0
    assert "one of: feup" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "There is no subcommand trian. Did you mean train?"),
        ("train", "The name of a report is missing"),
        ("train koalla", "There is no report koalla. Did you mean koala?"),
        ("compare koala", "koala has no experiments.regularisation. There is: vgg_autoencoder."),
        ("reproduce koala --config=lee", "Did you mean lee2021?"),
        ("train koala --config=lee", "Did you mean lee2021?"),
        ("train feup --config=eccv", "Did you mean eccv16_mse?"),
        ("data --cut=center", "Did you mean centre?"),
        ("colorize", "error: --in is missing (see"),
        ("colorize photo.jpg", "error: --in is missing: --in=photo.jpg (see"),
        ("data --sedd=1", "unknown argument --sedd=1. Did you mean --seed?"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_name(words, message, capsys):
    try:
        code = cli.run(colorization.main, words.split())
    except SystemExit as ended:  # argparse's way
        code = ended.code
    output = capsys.readouterr()
    assert code == 2 and output.out == ""
    assert output.err.startswith("error: ") and message in output.err
    assert output.err.count("\n") == 1


def test_a_process_writes_the_error_alone_whatever_the_backend_prints():
    process = subprocess.run(
        [sys.executable, "-m", "common.commands", "colorize", "--in=nowhere"],
        text=True,
        cwd=ROOT,
        capture_output=True,
    )
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr == "error: There is no nowhere. IN= is a photo or a folder of photos.\n"


@pytest.mark.parametrize("settings", [{"backend": "theano"}, {"floatx": "int8"}, ["tensorflow"]])
def test_a_keras_json_that_stops_keras_is_one_line_that_names_it(tmp_path, settings):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    process = subprocess.run(
        [sys.executable, "-m", "common.commands", "data"],
        text=True,
        cwd=ROOT,
        capture_output=True,
        env=environment | {"KERAS_HOME": str(tmp_path)},
    )
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1
    assert str(tmp_path / "keras.json") in process.stderr and "KERAS_BACKEND" in process.stderr


def test_a_backend_of_the_environment_that_is_not_there_is_one_line_that_names_it():
    process = subprocess.run(
        [sys.executable, "-m", "common.commands", "train", "koala"],
        text=True,
        cwd=ROOT,
        capture_output=True,
        env=os.environ | {"KERAS_BACKEND": "nonsense"},
    )
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1
    assert "KERAS_BACKEND=nonsense is set" in process.stderr


def test_the_settings_of_another_projects_keras_json_do_not_count():
    known = _settings()
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.config.set_epsilon(0.5)
    backend.start()
    assert _settings() == known == ("channels_last", "float32", "float32", 1e-7)


def _settings():
    config = keras.config
    policy = config.dtype_policy().name
    return config.image_data_format(), config.floatx(), policy, config.epsilon()


def test_help_imports_no_backend():
    script = (
        "import sys; from common.commands import __main__ as c; c.main(['--help']); "
        "sys.exit(bool({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_switch_is_on_or_off_and_a_home_is_expanded():
    parser = cli.Parser("x")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--in")
    assert vars(parser.parse_args(["--overwrite=1", "--seed=1", "--in=~/a~b"])) == {
        "overwrite": True,
        "seed": 1,
        "in": os.path.expanduser("~/a~b"),
    }
    assert not parser.parse_args(["--overwrite=0"]).overwrite
    with pytest.raises(SystemExit):
        parser.parse_args(["--overwrite=2"])


def test_a_package_without_the_form_of_a_report_is_none(tmp_path, monkeypatch, capsys):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.run(colorization.main, ["train", "half"]) == 2
    error = capsys.readouterr().err
    assert "half is no report" in error and all(name in error for name in reports.FORM)
