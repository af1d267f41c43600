"""A page that asks people which pictures are recoloured: `make survey-koala`.

It shows recoloured and original pictures one by one, in an order drawn anew for each person, and
saves the person's verdicts as a file. Nothing in it tells one kind from the other: both come from
L* and ab by the same way to 8 bit and are stored uncompressed, so that all are of one length, in
the order of their hashes. Which is which stands in key.json beside it, for `survey_results`.
"""

import dataclasses
import datetime
from html import escape
from pathlib import Path

import numpy as np

from common import cli, datasets, files, metrics, photos
from common.cli import UserError
from common.color import lab
from common.evaluation import baselines, evaluate, table
from common.evaluation.page import document
from common.networks import h5
from common.networks.precision import PRECISIONS, choose_policy

SCHEMA = 1
KEY, VERDICTS = "colorization survey key", "colorization survey verdicts"  # kinds of files
KINDS = ("recoloured", "original")
OUT = Path("reports/survey")


@dataclasses.dataclass(frozen=True)
class Published:
    """What a paper found: the share of recoloured pictures taken for real, and of whom."""

    share: float
    source: str


def main(argv, *, report, published=None):
    """The command of a report's survey.py."""
    parser = cli.Parser(f"python -m {report}.survey", description=__doc__.splitlines()[0])
    datasets.add_arguments(parser)
    parser.add_argument("--model", default=report, help="a file, or a name in models/")
    parser.add_argument("--split", choices=datasets.SPLITS, default="test")
    parser.add_argument("--recoloured", type=cli.at_least(1), default=9, help="so many pictures")
    parser.add_argument("--originals", type=cli.at_least(1), default=3, help="so many pictures")
    parser.add_argument("--seed", type=cli.at_least(0), default=0, help="draws the pictures")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--out", type=Path, default=OUT / report, help="folder of page and key")
    args = parser.parse_args(argv)
    path = h5.named(args.model)
    _check_out(args.out)
    dataset = _dataset(args, h5.metadata(path))
    model = evaluate.Model(
        path, path.stem, dataset, 16, choose_policy(args.precision)[0], args.embedding_weights
    )
    key, pictures = make(
        model, dataset, args.split, args.recoloured, args.originals, args.seed, published
    )
    files.write_json(args.out / "key.json", key)
    files.write_text(args.out / "index.html", html(key["survey"], pictures))
    print(
        f"{args.out}/index.html: hand this page on. {args.out}/key.json tells which is which: "
        "keep it.\nPut the files that come back into a folder: `make survey-results IN=folder`."
    )
    if key["seen"] != 0:
        print(
            "Beware: "
            + (
                "the model does not say what it was trained on."
                if key["seen"] is None
                else f"the model was trained on {key['seen']} of these pictures."
            )
        )
    if dataset.name == "samples":
        print(table.RUNS_ONLY)


def _check_out(out):
    """Find out before the work, and do not make an answered survey's key disappear."""
    evaluate.check_writable(out)
    if (out / "key.json").exists():
        raise UserError(
            f"{out} holds a survey. Without its key the answers tell nothing: name "
            "another folder, OUT=folder, or remove this one."
        )


def _dataset(args, metadata):
    """The data set at the model's size, its pictures not squashed: people would see it."""
    if (Path(args.data) / "manifest.json").is_file():
        return datasets.Dataset(args.data)
    return datasets.prepare(
        args.data,
        metadata.get("image_size", evaluate.SIZE),
        "centre",
        None,
        args.embedding_weights,
        split_by=args.split_by,
        for_training=False,
    )


def make(model, dataset, split, recoloured, originals, seed=0, published=None):
    """(what key.json holds, {hash: picture's file}) of a survey.

    model: an `evaluate.Model` over the data set. The pictures are drawn by the seed; grey ones,
    whose colours nobody can judge, and copies of others are passed over.
    """
    count = recoloured + originals
    places = _drawn(dataset, split, count, seed)
    batch = model.dataset.read(split, places, model.takes_embedding)
    colours = lab.rgb_to_lab(batch["rgb"])
    l, ab = colours[..., :1], colours[..., 1:]
    shown = baselines.Batch(np.asarray(places), batch["rgb"], colours, batch.get("embedding"))
    made = model(baselines.Batch(*(each if each is None else each[:recoloured] for each in shown)))
    # Originals too go to Lab and back; what they come to is what they were, bit by bit.
    ab = np.concatenate([made, ab[recoloured:]])
    found = [_as_file(rgb) for rgb in metrics.recolour(l, ab)]
    if len(set(map(len, found))) > 1:
        raise ValueError(
            "A survey needs files of one length, which would else tell one kind from "
            f"the other. Received: {sorted(map(len, found))} bytes."
        )
    hashes = [files.sha256(file) for file in found]
    digests = dataset.sha256(split)
    key = {
        "kind": KEY,
        "schema": SCHEMA,
        "survey": files.sha256("".join(sorted(hashes)).encode())[:16],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": {"name": model.name, "sha256": model.about["sha256"]},
        "data": {
            "name": dataset.name,
            "split": split,
            "seed": seed,
            "split_sha256": dataset.split_sha256(),
        },
        "seen": model.count_seen([digests[place] for place in places]),
        "published": published and dataclasses.asdict(published),
        "pictures": [
            {"sha256": digest, "kind": KINDS[at >= recoloured], "name": name}
            for at, (digest, name) in enumerate(zip(hashes, batch["name"], strict=True))
        ],
    }
    return key, dict(zip(hashes, found, strict=True))


def _drawn(dataset, split, count, seed):
    """The places of `count` coloured pictures, no two of the same file."""
    order = np.random.default_rng(seed).permutation(dataset.count(split))
    digests, places = dataset.sha256(split), {}
    for start in range(0, len(order), 16):
        part = order[start : start + 16].tolist()
        for place, rgb in zip(part, dataset.read(split, part)["rgb"], strict=True):
            if np.ptp(rgb, axis=-1).any():
                places.setdefault(digests[place], place)
        if len(places) >= count:
            return list(places.values())[:count]
    raise UserError(
        f"The {split} split of {dataset.name} has {len(places)} pictures in colour, a "
        f"survey needs {count}. Name more pictures, or ask for fewer: RECOLOURED=, "
        "ORIGINALS=."
    )


def _as_file(rgb):
    """A PNG that is not compressed: pictures of one size make files of one length."""
    return photos.png(rgb, compression=0)


def html(survey, pictures):
    """The page, of a survey's id and {hash: PNG}."""
    count = len(pictures)
    shown = "\n".join(
        document.image(("image/png", pictures[name]), "the picture to judge").replace(
            "<img", f'<img hidden data-picture="{escape(name)}"', 1
        )
        for name in sorted(pictures)
    )
    return document.document(
        "Real or recoloured?",
        f"""<main class="survey">
<section id="before">
<p class="what">Colorization, judged</p>
<h1>Real or recoloured?</h1>
<p class="lead">You will see {count} pictures, one after another. Some are photos in their own
colours. Of others only the grey was kept, and a computer has put colours to it.</p>
<p>Say of each which you think it is, at first sight. There is no time limit, and you can go back.
Nothing is sent anywhere: at the end you save a small file and give it to whom you have this page
from. It holds your verdicts, a random number, and nothing about you.</p>
<p>With a keyboard: <kbd>R</kbd> is real, <kbd>C</kbd> is recoloured, <kbd>B</kbd> goes back.</p>
<p><button type="button" id="start" hidden>Start</button></p>
<noscript><p>This page needs JavaScript, which is switched off here.</p></noscript>
</section>
<section id="during" aria-labelledby="progress" hidden>
<h2 id="progress" aria-live="polite" tabindex="-1"></h2>
<div id="picture">
{shown}
</div>
<div class="verdicts">
<button type="button" data-verdict="real">Real <kbd>R</kbd></button>
<button type="button" data-verdict="recoloured">Recoloured <kbd>C</kbd></button>
</div>
<p><button type="button" data-back>Back <kbd>B</kbd></button></p>
</section>
<section id="after" aria-labelledby="thanks" hidden>
<h2 id="thanks" tabindex="-1">Thank you</h2>
<p>Save your verdicts, and give the file to whom you have this page from.</p>
<p class="verdicts"><a id="save">Save the verdicts</a></p>
<p><button type="button" data-back>Back <kbd>B</kbd></button>
<button type="button" id="again">Another person</button></p>
</section>
</main>
{document.data("survey", {"kind": VERDICTS, "schema": SCHEMA, "survey": survey})}""",
        "survey.js",
        "page.css",
        "survey.css",
    )
