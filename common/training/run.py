"""`train`, from pictures to an exported model: a run with a name, an identity and a folder."""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from common import datasets, drives, engines, files, locks, seals
from common.cli import UserError
from common.color import bins
from common.color.dial import Dial
from common.config import Config
from common.datasets import splits, statistics
from common.datasets.cache import Cache, default_limit
from common.datasets.maps import store
from common.networks import determinism, embeddings, frozen, h5, model_names, perceptual
from common.networks.interface import classifies
from common.networks.precision import choose_policy, in_precision, set_defaults
from common.networks.provenance import versions
from common.training import devices, losses
from common.training.batches import Batches
from common.training.best import Best
from common.training.export import begin_from, export, exported
from common.training.options import Options, check_size, configured, for_data
from common.training.report import Report, compile_model
from common.training.teacher import Teacher
from common.training.trainer import Trainer
from common.training.tuning import STEPS


@dataclasses.dataclass(frozen=True)
class Run:
    """The result of `train`."""

    folder: Path  # runs/<name>: checkpoint, history.csv, curves.png, grid.png
    model: Path | None  # the exported model; None where a signal stopped it, and on other hosts
    history: list[dict[str, Any]]  # a dict an epoch, as in history.csv
    metrics: dict[str, Any]  # of the exported model on the validation split
    dataset: datasets.Dataset
    trained: bool = True  # False where the run had been finished before
    stopped_by: int | None = None  # the signal that stopped it


def train(
    report: ModuleType | Report,
    config: Config | str | None = None,
    data: str | Path = "samples",
    options: Options | None = None,
    **changes: Any,
) -> Run:
    """Train a report's network on pictures, and export it.

    report: the imported package, as koala; what it brings is in `common.training.report`. config:
    a name in its CONFIGS, a config, or None for the default. data: a folder of pictures or a name
    in data/sources.toml; what is missing of its shards is made first. changes: fields of `Options`,
    instead of those of `options`: train(koala, data="photos", epochs=2).

    A run is named by report, config, data and size, and is stored in runs/. An interrupted run
    resumes at the same step and ends with the same weights, bit by bit; a finished one is left as
    it is. SIGINT and SIGTERM write a checkpoint and stop the run. Raises `UserError` for an unknown
    option, another run of the same name, too few pictures and other mistakes.
    """
    set_defaults()
    if changes.get("deterministic", bool(options and options.deterministic)):
        determinism.enable()
    options = dataclasses.replace(options or Options(), **changes)
    with contextlib.ExitStack() as stack:
        return _train(Report.of(report), config, str(data), options, stack)


def _train(report, config, data, options, stack):
    """`train`; what it holds until its end, as the lock of the run's folder, is put on `stack`."""
    keras.utils.set_random_seed(options.seed)
    trained_on = stack.enter_context(
        devices.opened(
            options.devices,
            options.coordinator,
            options.hosts,
            options.host_id,
            options.timeout,
        )
    )
    hosts = trained_on.hosts
    init = model_names.named(str(options.init)) if options.init else None
    name, config = report.config(config)
    config = configured(report, name, config, data, options)
    trained_on.check(config.batch_size)
    if options.size:
        check_size(report, config)
    policy, why = choose_policy(options.precision)
    print(f"precision: {policy} ({why})", flush=True)
    with engines.started(options.engine, options.ray_address) as engine:
        dataset = datasets.prepare(
            data,
            config.image_size,
            config.cut,
            config.embedding,
            options.weights_of("embedding"),
            embed_from="shard" if options.embed_views else options.embed_from,
            split_by=options.split_by,
            fractions=config.fractions,
            engine=engine,
        )
    stack.enter_context(drives.watched(drives.Place(dataset.folder)))
    if statistics.grey_share(dataset) == 1:
        raise UserError(
            f"Every training picture of {data} is grey or of a single tone: there is no colour to "
            "learn from. Train on photos in colour, and colour these with the model."
        )
    tuning = options.tuning
    if tuning:
        tuning.check(dataset)
    config = for_data(config, dataset, STEPS if tuning else 1)

    keras.utils.set_random_seed(options.seed)
    network = report.build_model(config)
    if options.bins and classifies(network):
        raise UserError(f"--bins: the config {name} classifies ab already. Leave it out.")
    pretrained = {
        layer: load
        for layer, load in report.pretrained.items()
        if any(layer == known.name for known in network.layers)
    }
    if init:
        about = h5.metadata(init).get("pretrained", {})
    else:
        about = {
            layer: load(network, config, options.weights_of(layer))
            for layer, load in pretrained.items()
        }
    distance = None
    if config.distance:
        distance = perceptual.load(
            config.distance, options.weights_of(config.distance), options.weights_of("lpips")
        )
    if options.bins:
        network = bins.with_head(network)
    network = in_precision(network, policy)
    identity = {
        "report": report.name,
        "config_name": name,
        "config": plain(config),
        "options": options.extras,
        "data": dataset.name,
        "split_sha256": dataset.split_sha256(),
        "embedding": dataset.embedding if config.embedding else None,
        "pretrained": about,
        "precision": policy,
        "steps": config.steps,
        "seed": options.seed,
    }
    if init:
        print(f"weights: {init}", flush=True)
        identity["init"] = begin_from(init, network, config)
    if distance:
        identity["distance"] = distance.metadata
        print(f"loss: {distance.title}", flush=True)
    if tuning:
        identity["tuning"] = tuning.identity
    if not hosts.alone:
        shards = [shard["sha256"] for shard in dataset.manifest["shards"]]
        digest = files.sha256(json.dumps(shards).encode())
        hosts.require_same({**_flat(identity), **versions(), "shards of the data": digest})
    title = tuning.title if tuning else report.title(name, options.extras)
    folder = Path("runs", options.run or f"{title}-{dataset.name}-{config.image_size}")
    own = folder / f"{title}.h5"
    if init and own.exists() and files.sha256(own) == identity["init"]["sha256"]:
        # This run's export has taken the place, in models/, of the model that it began from.
        identity["init"] = h5.metadata(own).get("init", identity["init"])
    lock = None
    if hosts.first:
        refuse_another(folder, identity, type(config))
        lock = stack.enter_context(
            locks.held(folder, "Wait until that has ended, or name another run: RUN=name.")
        )

    rebalanced = options.rebalance or config.rebalance
    prior = rarity = dial = None
    if tuning and tuning.dial and classifies(network):  # the colours are as rare as they were
        prior, dial = tuning.about.get("prior"), tuning.dial
        rarity = np.array(dial.rarity, np.float32)
    elif rebalanced or classifies(network):
        seen = splits.drawn(dataset.count("train"), config.pictures, options.seed)
        prior = statistics.prior(dataset, seen if config.pictures else None)
        rarity = bins.rarity(prior)
        if classifies(network):
            dial = Dial.of(config, prior, rebalanced)
    keep = tuning.keep if tuning else 0.0
    loss = losses.of_ab(config, classifies(network), rarity if rebalanced else None, keep)
    if distance:
        loss = losses.PerceptualLoss(distance.in_precision(policy), config)
    embedder = None
    if options.embed_views and dataset.embedding:
        embedder = embeddings.find(dataset.embedding, options.weights_of("embedding"))
    names = _whose_maps_serve(network, config, pretrained) if config.maps else []
    first, rest = frozen.cut(network, names) if names else (None, network)
    part = trained_on.share(config.batch_size)
    teacher = Teacher(rest, keep, policy) if keep else None
    batches = Batches(network, config, dataset, options.seed, embedder, part=part, teacher=teacher)
    _keep_pictures(batches, options.cache)
    stack.callback(setattr, dataset, "cache", None)  # `Run` holds the data set, not its pictures
    best = Best(folder) if tuning else None
    trainer = Trainer(
        rest,
        config,
        batches,
        folder,
        functools.partial(compile_model, report, loss=loss),
        checkpoint_seconds=options.checkpoint_seconds,
        thawed=list(pretrained),
        dial=dial,
        callbacks=[*([best] if best else []), *options.callbacks],
        lock=lock,
        devices=trained_on,
    )
    if best:
        best.trainer = trainer
    if trainer.resume():
        progress = trainer.progress
        done = trainer.finished and exported(trainer, own) and not options.overwrite
        if hosts.of_first(done):
            if not hosts.first:
                return Run(folder, None, progress.history, {}, dataset, trained=False)
            print(
                f"{folder} is finished, {progress.epoch} epochs. A larger EPOCHS extends it, "
                "RUN=name begins another."
            )
            metrics = h5.metadata(own)["metrics"]
            return Run(folder, own, progress.history, metrics, dataset, trained=False)
        print(
            f"{folder} goes on after {progress.epoch} epochs and {progress.step} steps", flush=True
        )
    if first:
        extractor = frozen.Frozen(first, config, {name: about[name] for name in names})
        with engines.started(options.engine, options.ray_address) as engine:
            mirrored = "flip" in config.augment
            batches.maps = store(dataset, extractor, mirrored=mirrored, engine=engine)
    if hosts.first:
        claim(folder, identity, type(config))  # not before: without room for maps there is no run
    finished = trainer.fit()
    trained_on.release()
    if not finished or not hosts.first:
        history = trainer.progress.history
        return Run(folder, None, history, {}, dataset, stopped_by=trainer.stopped_by)
    if prior is not None:
        identity["prior"] = [float(f"{share:.6g}") for share in prior]
    published = options.published
    if best:
        identity["tuning"]["epoch"] = best.restore()
        published = published and identity["tuning"]["epoch"] > 0  # else it is the old model
    with contextlib.nullcontext() if best else trainer.averaged():
        path = export(
            trainer, network, title, identity, overwrite=options.overwrite, published=published
        )
    return Run(folder, path, trainer.progress.history, h5.metadata(path)["metrics"], dataset)


def _keep_pictures(batches, megabytes):
    """Have the data set keep decoded pictures, if any is read twice; a line says how many."""
    config, dataset, count = batches.config, batches.dataset, len(batches.positions)
    if config.epochs * config.steps * config.batch_size <= count:
        return
    limit = default_limit() if megabytes is None else megabytes * 10**6
    cache = Cache(dataset.image_size, limit)
    if not cache.room:
        return
    dataset.cache = cache
    count += dataset.count("validation")
    kept = min(count, cache.room)
    print(
        f"cache: {kept:,} of {count:,} pictures stay in memory once they are decoded, "
        f"{cache.size(kept) / 1e6:,.0f} MB",
        flush=True,
    )


def _whose_maps_serve(network, config, pretrained):
    """The pretrained layers to train from the stored maps of: those that stay frozen.

    Where there are none, or pictures are seen in views that are not stored, a line says so.
    """
    names = frozen.frozen_among(network, pretrained)
    moved = [kind for kind in config.augment if kind != "flip"]
    reason = None
    if not names or config.unfreeze_after is not None:
        reason = "the pretrained layers train too"
    elif moved:
        reason = f"views by {' and '.join(moved)} are not stored"
    if reason:
        print(f"maps: computed as the training goes, since {reason}", flush=True)
    return [] if reason else names


def plain(config: Config) -> dict[str, Any]:
    """A config as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def claim(folder: Path, identity: dict[str, Any], kind: type[Config]) -> None:
    """Write the run's identity into its folder; `UserError` as `refuse_another`."""
    refuse_another(folder, identity, kind)
    if not (folder / "config.json").exists():
        seals.write_json(folder / "config.json", _training(identity))


def refuse_another(folder: Path, identity: dict[str, Any], kind: type[Config]) -> None:
    """`UserError` where a folder holds another run; it names what differs.

    kind: the class of its config, whose defaults stand for fields that an earlier version did not
    write. Not part of the identity are the number of epochs, since a larger one extends the run,
    which metrics are watched, and how the export decodes logits.
    """
    path = folder / "config.json"
    if not path.exists():
        return
    try:
        known = seals.read_json(path)
    except ValueError:
        raise UserError(
            f"{path} is corrupt. Delete {folder}, or name another run: RUN=name."
        ) from None
    identity = _training(identity)
    was, now = _flat(_completed(known, identity, kind)), _flat(identity)
    if was != now:
        different = ", ".join(
            f"{key} was {was.get(key)}, is {now.get(key)}"
            for key in sorted(was.keys() | now.keys())
            if was.get(key) != now.get(key)
        )
        raise UserError(f"{folder} is another run ({different}). Name a new one: RUN=name.")


def _training(identity):
    """An identity as JSON gives it back, without what does not make it another run."""
    identity = json.loads(json.dumps(identity))
    for field in ("epochs", "watched", "faithful", "vivid", "export_both"):
        identity["config"].pop(field, None)
    return identity


def _completed(known, identity, kind):
    """A run's identity with the fields of its config that earlier versions did not write.

    A missing field had the default of the report's own class; `steps` was the config's own; and
    embeddings were made from the shards.
    """
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.name in identity["config"] and field.default is not dataclasses.MISSING
    }
    config = defaults | known.get("config", {})
    if "steps" in known:
        config["steps"] = known["steps"]
    completed = _training({**known, "config": config})
    if known.get("embedding"):
        completed["embedding"] = {"from": "shard", **known["embedding"]}
    return completed


def _flat(content, prefix=""):
    out: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out
