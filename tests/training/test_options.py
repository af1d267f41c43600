"""Options, the config that they lead to, and misspelt names."""

import dataclasses
import importlib

import pytest

import feup
import iizuka
import vgg_autoencoder
from common import datasets, training
from common.cli import UserError
from common.config import Config
from common.training.options import configured
from tests import drawn, tiny


def _configured(config, data="photos", **options):
    return configured(tiny.REPORT, "plain", config, data, training.Options(**options))


def test_the_samples_recipe_goes_before_the_config_and_options_before_it(capsys):
    config = drawn.Config(epochs=200)
    assert _configured(config, "samples").epochs == 2
    assert "samples: epochs 2 (" in capsys.readouterr().out
    assert _configured(config, "samples", epochs=5).epochs == 5
    assert "epochs" not in capsys.readouterr().out
    assert _configured(config, "photos").epochs == 200


def test_a_weights_file_that_is_not_there_is_named_before_data_are_prepared():
    options = training.Options(weights={"RESNET18_WEIGHTS": "nowhere.pth"})
    with pytest.raises(UserError, match=r"no weights file nowhere\.pth\. RESNET18_WEIGHTS is auto"):
        report = training.Report.of(feup)
        configured(report, "resnet18_mse", feup.CONFIGS["resnet18_mse"], "photos", options)


def test_a_recipe_is_one_reports_and_one_configs():
    """Linnaeus 5 is trained for 30 epochs in jain's report, and in no other."""
    for report, name in ((iizuka, "jain"), (iizuka, "iizuka2016"), (vgg_autoencoder, "zaman2020")):
        config = report.CONFIGS[name]
        made = configured(
            training.Report.of(report), name, config, "linnaeus5-flower", training.Options()
        )
        assert made == (dataclasses.replace(config, epochs=30) if name == "jain" else config)


def test_the_catalogues_recipes_are_of_configs_that_exist():
    for entry in datasets.catalogue.entries().values():
        for recipe in entry.get("recipes", ()):
            if report := recipe.get("report"):
                assert set(recipe["configs"]) <= importlib.import_module(report).CONFIGS.keys()


def test_a_recipe_without_steps_is_once_through_whatever_the_config_says():
    config = drawn.Config(steps=100)
    assert _configured(config, "samples").steps is None
    assert _configured(config, "samples", steps=7).steps == 7
    assert _configured(config, "photos").steps == 100


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({}, {"embed_views": True}, "does not both fuse an embedding and"),
        ({}, {"embedding": "mobilenet_v2"}, "fuses none"),
        ({"distance": "vgg16"}, {"bins": True}, "has a loss of whole pictures"),
        ({}, {"weights": {"VGG16_WEIGHTS": "random"}}, "tiny has no VGG16_WEIGHTS"),
    ],
)
def test_options_that_do_not_fit_the_config(config, options, message):
    with pytest.raises(UserError, match=message):
        _configured(drawn.Config(**config), **options)


def test_a_misspelt_name_is_an_error_that_gives_the_nearest():
    with pytest.raises(UserError, match="Config has no field epohcs. Did you mean epochs?"):
        feup.CONFIGS["resnet18_mse"].__class__(epohcs=3)
    with pytest.raises(UserError, match="Did you mean batch_size?"):
        dataclasses.replace(Config(), batchsize=3)
    with pytest.raises(UserError, match="Options has no field sede. Did you mean seed?"):
        training.train(tiny.REPORT, data="photos", sede=1)
    options = training.Options(weights={"RESNET18_WEIGHT": "random"})
    with pytest.raises(UserError, match="Did you mean RESNET18_WEIGHTS?"):
        training.train(feup, data="photos", options=options)


def test_a_field_all_but_named_as_the_bases_is_misspelt():
    """In a report's Config it would be a field that nothing reads."""
    with pytest.raises(UserError, match="has a field l_scal, .* Did you mean l_scale?"):

        @dataclasses.dataclass(frozen=True)
        class Misspelt(Config):
            l_scal: float = 1 / 100


def test_weights_come_from_the_option_else_the_environment(monkeypatch):
    options = training.Options(weights={"VGG16_WEIGHTS": "mine.h5"})
    monkeypatch.setenv("VGG16_WEIGHTS", "random")
    monkeypatch.setenv("EMBEDDING_WEIGHTS", "random")
    assert options.weights_of("vgg16") == "mine.h5"
    assert training.Options().weights_of("vgg16") == "random"
    assert options.weights_of("embedding") == "random"
    assert training.Options(embedding_weights="auto").weights_of("embedding") == "auto"
    assert options.weights_of("densenet") == "auto"
    monkeypatch.setenv("HOME", "/h")
    assert training.Options(embedding_weights="~/w.h5").weights_of("embedding") == "/h/w.h5"
