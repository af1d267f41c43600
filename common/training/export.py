"""Exporting a trained network, and starting a training from an exported model's weights."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import files
from common.cli import UserError
from common.config import Config
from common.datasets import Dataset
from common.networks import h5
from common.networks.interface import predict
from common.training.batches import in_lab
from common.training.trainer import Trainer

BEGUN = "exporting"  # a file in the run's folder while it exports


def export(
    trainer: Trainer,
    network: keras.Model,
    title: str,
    identity: Mapping[str, Any],
    *,
    overwrite: bool,
    published: bool,
) -> Path:
    """Export into the run's folder and, if `published`, to models/; return the latter's path.

    network: the whole one, of which the trainer may have trained only what follows frozen layers.
    A config that exports both ends of the dial gives a second model, `<title>-vivid`. A model of
    other data in models/ stays, unless `overwrite`; then the path is in the run's folder. The
    metadata hold `identity`, the dial, and the metrics of the export on the validation split.
    """
    begun = trainer.folder / BEGUN
    begun.touch()
    # The loss is the network's own, in its scaling and with its weights of colours.
    loss = None
    if trainer.dataset.count("test"):
        loss = trainer.validation(trainer.validation.predict, "test")["loss"]
    models = {title: trainer.dial}
    if trainer.dial and trainer.config.export_both:
        models[f"{title}-vivid"] = dataclasses.replace(trainer.dial, default=1.0)
    paths = []
    for name, dial in models.items():
        path = trainer.folder / f"{name}.h5"
        _write(path, trainer, network, dial, {**identity, "title": name, "test_loss": loss})
        target = Path("models", path.name)
        if published and _is_free(target, trainer.dataset.name, path, overwrite):
            with files.replacing(target) as temporary:
                shutil.copyfile(path, temporary)
            path = target
        print(f"exported {path}")
        paths.append(path)
    begun.unlink()
    return paths[0]


def exported(trainer: Trainer, path: Path) -> bool:
    """Whether a finished run has its export at `path`, whole, and where else it belongs.

    It has not where it was killed meanwhile, even if an export of fewer epochs is there, or where
    the file got damaged since.
    """
    if (trainer.folder / BEGUN).exists() or not path.exists():
        return False
    try:
        return h5.metadata(path).get("epochs") == trainer.progress.epoch
    except UserError:
        return False


def described(dataset: Dataset, positions: np.ndarray | None = None) -> dict[str, Any]:
    """What a model's metadata say of the data that it was trained on.

    positions: of the training pictures that it has seen, if not all.
    """
    digests = dataset.digests("train")
    digests = np.unique(digests if positions is None else digests[positions])
    short = digests.view(np.uint8).reshape(-1, 32)[:, :6]
    return {
        "data": {
            "name": dataset.name,
            "split_sha256": dataset.split_sha256(),
            "train_sha256": short.tobytes().hex(),  # 12 digits of each, sorted
        },
        "image_size": dataset.image_size,
        "cut": dataset.cut,
    }


def _write(path, trainer, network, dial, identity):
    """Export one model, with its metadata."""
    dataset = trainer.dataset
    if dial:
        exported = h5.wrap(network, trainer.config, dial.decode)
        identity = {**identity, "dial": dataclasses.asdict(dial)}
    else:
        exported = h5.wrap(network, trainer.config)
    scores = trainer.validation(lambda batch: (predict(exported, in_lab(batch)), {}))
    h5.export(
        exported,
        path,
        {
            **identity,
            "epochs": trainer.progress.epoch,
            **described(dataset, trainer.batches.positions),
            "metrics": {"split": "validation", "pictures": dataset.count("validation"), **scores},
        },
    )


def _is_free(target, data, path, overwrite):
    """Whether `target` may be replaced; a line says why not, and where the export is."""
    known = _trained_on(target)
    if known == data or overwrite or not target.exists():
        return True
    print(f"{target} stays, since it was trained on {known} (OVERWRITE=1 replaces it)")
    return False


def _trained_on(path):
    """The name of the data that a model was trained on, where its metadata give one."""
    try:
        return h5.metadata(path)["data"]["name"]
    except (UserError, KeyError):
        return "data that it does not name"


def begin_from(path: str | Path, network: keras.Model, config: Config) -> dict[str, Any]:
    """Set a network's weights from an exported model of the same network: the option `init`.

    Returns {"file", "sha256", "title"} of the model. A classification head, which exports leave
    out, keeps its own weights. `UserError` names the first difference of another network.
    """
    path = Path(path)
    model = h5.load(path)
    if isinstance(network.output, dict):
        network = keras.Model(network.input, network.output["ab"], name=network.name)
    difference = _difference(model, network, config)
    if difference:
        raise UserError(
            f"{path} is a model of another network: {difference}. INIT= takes an exported model "
            "of the same report, config and size."
        )
    theirs = _weights(model.get_layer(network.name))
    for name, variable in _weights(network).items():
        variable.assign(theirs[name])
    return {
        "file": path.name,
        "sha256": files.sha256(path),
        "title": h5.metadata(path).get("title"),
    }


def _difference(model, network, config):
    """The first difference of an exported model from a network and its scaling, or None."""
    names = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if network.name not in names:
        return f"it holds {', '.join(names) or 'no network'}, not {network.name}"
    theirs, ours = _weights(model.get_layer(network.name)), _weights(network)
    for name in [*ours, *theirs]:
        if name not in theirs or name not in ours:
            return f"its weights {'lack' if name in ours else 'include'} {name}"
        shapes = tuple(theirs[name].shape), tuple(ours[name].shape)
        if shapes[0] != shapes[1]:
            return f"its {name} is {shapes[0]}, this one's {shapes[1]}"
    wrapped = h5.wrap(network, config)
    for name in ("l_to_network", "ab"):
        layers = [m.get_layer(name) for m in (model, wrapped)]
        if type(layers[0]) is type(layers[1]) is keras.layers.Rescaling:
            scales = [(layer.scale, layer.offset) for layer in layers]
            if scales[0] != scales[1]:
                return f"its layer {name} scales by {scales[0]}, this one's by {scales[1]}"
    return None


def _weights(network):
    """{"layer/variable": variable}, those of nested networks included."""
    weights: dict[str, Any] = {}
    for layer in network.layers:
        inner = _weights(layer) if isinstance(layer, keras.Model) else None
        if inner is None:  # by path: the parts of an attention have variables of the same names
            inner = {v.path.rpartition(f"{layer.name}/")[2]: v for v in layer.weights}
        weights |= {f"{layer.name}/{name}": variable for name, variable in inner.items()}
    return weights
