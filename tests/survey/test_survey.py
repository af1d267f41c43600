"""The survey: its page, which distinguishes no kind of picture, and the counting of answers."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import cli, datasets, files, metrics, photos
from common.cli import UserError
from common.color import lab
from common.commands import survey as survey_command
from common.commands import survey_results as survey_results_command
from common.evaluation import baselines, models
from common.survey import answers, ask, schema
from tests import drawn

ROOT = Path(__file__).parents[2]
SIDE = 32


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of 24 pictures for testing, two of them equal and three grey, and three others."""
    folder = tmp_path_factory.mktemp("survey") / "photos"
    for split, count in (("train", 2), ("val", 1)):
        drawn.folder(folder / split, count)
    for seed in range(24):
        picture = drawn.picture(100 + max(seed, 1))  # 0 and 1 are the same file
        if seed > 20:
            picture[:] = picture[..., :1]
        (folder / "test").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "test" / f"secret-{seed:02d}.png"), picture[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def dataset(source):
    return datasets.prepare(
        source, SIDE, "centre", split_by="folder", folder=source.parent / "shards"
    )


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory):
    path = drawn.exported(
        tmp_path_factory.mktemp("models") / "giveaway.h5",
        train_sha256="".join(digest[:12] for digest in dataset.sha256("test")),
    )
    return models.Model(path, "giveaway", dataset, 9)


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


# --- the page ---------------------------------------------------------------------------------


def test_pictures_are_what_the_key_says(model, dataset):
    survey = ask.make(model, dataset, "test", 9, 3)
    key, pictures = survey.key, survey.pictures
    rgb = dict(zip(dataset.names("test"), dataset.read("test", range(24))["rgb"], strict=True))
    kinds = [picture["kind"] for picture in key["pictures"]]
    assert kinds == ["recoloured"] * 9 + ["original"] * 3
    for picture in key["pictures"]:
        shown, true = pixels(pictures[picture["sha256"]]), rgb[picture["name"]]
        if picture["kind"] == "original":
            np.testing.assert_array_equal(shown, true)
        else:
            colours = lab.rgb_to_lab(true)[None]
            ab = model(baselines.Batch(np.zeros(1), true[None], colours, None))
            np.testing.assert_array_equal(shown, metrics.recolour(colours[..., :1], ab)[0])
            assert (shown != true).any()
    assert all(files.sha256(png) == digest for digest, png in pictures.items())
    assert key["seen"] == 12, "the model was trained on all of the test split"


def test_the_page_gives_nothing_away(model, dataset):
    survey = ask.make(model, dataset, "test", 9, 3)
    key, pictures = survey.key, survey.pictures
    text = survey.page()
    for word in (
        "secret",
        "giveaway",
        "original",
        dataset.name,
        *(picture["name"] for picture in key["pictures"]),
    ):
        assert word not in text, word
    # every picture is written alike, at the same length, and their order is that of their hashes
    tags = re.findall(r"<img [^>]*>", text)
    digests = [re.search(r'data-picture="([0-9a-f]{64})"', tag).group(1) for tag in tags]
    contents = [re.search(r"base64,([^\"]*)", tag).group(1) for tag in tags]
    written = {
        tag.replace(digest, "").replace(content, "")
        for tag, digest, content in zip(tags, digests, contents, strict=True)
    }
    assert len(written) == 1
    assert len(set(map(len, contents))) == 1 and digests == sorted(digests)
    heads = {base64.b64decode(content)[:33] for content in contents}  # signature and header
    assert len(heads) == 1, "one format, one size, one depth"
    assert {len(pixels(png)) for png in pictures.values()} == {SIDE}
    for picture in key["pictures"]:
        assert text.count(picture["sha256"]) == 1


def test_uncompressed_files_are_of_one_length_whatever_they_show():
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    lengths = {
        len(photos.png(rgb, compression=0)) for rgb in (noise, noise * 0, drawn.picture(1, SIDE))
    }
    assert len(lengths) == 1


def test_a_model_gets_the_embeddings_of_its_pictures(dataset):
    class Fused:
        """A stand-in for a `models.Model`: one colour, the embedding's value."""

        name, sha256, takes_embedding = "fused", "0" * 64, True
        dataset = property(lambda self: self)

        def read(self, split, positions, embedding):
            assert embedding
            return dataset.read(split, positions) | {
                "embedding": np.array(positions, np.float32)[:, None]
            }

        def __call__(self, batch):
            assert len(batch.lab) == len(batch.embedding) == len(batch.positions) == 4
            return np.broadcast_to(batch.embedding[:, None, None], (*batch.lab.shape[:3], 2))

        def count_seen(self, digests):
            return None

    survey = ask.make(Fused(), dataset, "test", 4, 2)
    key, pictures = survey.key, survey.pictures
    names = dataset.names("test")
    for picture in key["pictures"][:4]:
        position = names.index(picture["name"])
        l = lab.rgb_to_lab(dataset.read("test", [position])["rgb"])[..., :1]
        expected = metrics.recolour(l, np.full((1, SIDE, SIDE, 2), position, np.float32))
        np.testing.assert_array_equal(pixels(pictures[picture["sha256"]]), expected[0])


def test_the_seed_draws_the_pictures(model, dataset):
    ids = [ask.make(model, dataset, "test", 4, 2, seed).key["survey"] for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_grey_pictures_and_copies_are_passed_over(model, dataset):
    key = ask.make(model, dataset, "test", 10, 10).key
    names = {picture["name"] for picture in key["pictures"]}
    assert len(names) == 20
    assert not any(f"test/secret-{seed}.png" in names for seed in range(21, 24))
    with pytest.raises(UserError, match="has 20 pictures in colour, a survey needs 21"):
        ask.make(model, dataset, "test", 11, 10)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run(main, *arguments) -> (exit code, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(main, *arguments):
        code = cli.run(main, list(map(str, arguments)))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def koala(run, model, source, *arguments):
    return run(
        survey_command.main,
        "koala",
        "--data",
        source,
        "--split-by=folder",
        "--model",
        model.path,
        *arguments,
    )


def test_the_command_leaves_a_page_and_its_key(run, model, source, tmp_path):
    code, out, _ = koala(run, model, source)
    assert code == 0 and "trained on 12 of these pictures" in out
    folder = tmp_path / "reports/survey/koala"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "key.json"]
    key = json.loads((folder / "key.json").read_text())
    assert key["published"]["share"] == 0.4587 and len(key["pictures"]) == 12
    assert key["survey"] in (folder / "index.html").read_text()
    assert "centre" in next((tmp_path / "data/tfrecords").iterdir()).name, "nothing is squashed"
    # a key that people have answered is not overwritten
    code, _, err = koala(run, model, source, "--seed=1")
    assert code == 2 and "holds a survey" in err and len(err.splitlines()) == 1
    assert json.loads((folder / "key.json").read_text()) == key
    assert (
        koala(run, model, source, "--seed=1", "--out=other", "--recoloured=2", "--originals=1")[0]
        == 0
    )
    assert len(json.loads((tmp_path / "other/key.json").read_text())["pictures"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recoloured=90"], "survey needs 93"),
        (["--model=nobody"], "no model nobody"),
        (["--originals=0"], "at least 1"),
        (["--split=val"], "invalid choice"),
    ],
)
def test_a_mistake_is_one_line(run, model, source, arguments, message):
    code, err = 2, ""
    try:
        code, _, err = koala(run, model, source, *arguments)
    except SystemExit as error:
        assert error.code == 2
        return
    assert code == 2 and message in err.splitlines()[-1]


# --- the results ------------------------------------------------------------------------------


def test_wilsons_intervals_are_the_published_ones():
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    for count, total, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert answers.Share(count, total).interval == pytest.approx((low, high), abs=5e-5)
    low, high = answers.Share(29, 29).interval
    assert (low, high) == (pytest.approx(1 - answers.Share(0, 29).interval[1]), 1)


def digest(name):
    return files.sha256(name.encode())


def key(survey_id="a" * 16, recoloured="ABC", originals="XY", model="koala"):
    return {
        "kind": schema.KEY,
        "schema": 1,
        "survey": survey_id,
        "model": {"name": model, "sha256": digest(model)},
        "data": {"name": "photos"},
        "published": {"share": 0.4587, "source": "a paper"} if model == "koala" else None,
        "pictures": [
            {"sha256": digest(survey_id + name), "name": name, "kind": kind}
            for kind, names in (("recoloured", recoloured), ("original", originals))
            for name in names
        ],
    }


def answer(number, real, survey_id="a" * 16, names="ABCXY", **changed):
    """A file of verdicts: those named in `real` were taken for real."""
    return {
        "kind": schema.VERDICTS,
        "schema": 1,
        "survey": survey_id,
        "person": f"{number:032x}",
        "seed": 1,
        "verdicts": [
            {
                "picture": digest(survey_id + name),
                "verdict": "real" if name in real else "recoloured",
            }
            for name in names
        ],
    } | changed


def write(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return folder


def test_shares_are_counted_over_all_by_model_and_by_picture(run, tmp_path):
    folder = write(
        tmp_path / "in",
        key=key(),
        one=answer(1, "AXY"),
        two=answer(2, "ABX"),
        other=key("b" * 16, "PQ", "Z", "feup"),
        three=answer(3, "PZ", "b" * 16, "PQZ"),
    )
    code, out, err = run(survey_results_command.main, "--in", folder)
    assert code == 0 and not err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "3 people, 5 recoloured and 3 original pictures"
    low, high = answers.Share(4, 8).interval
    assert f"recoloured taken for real 4 of 8 50.00% {low:.2%} to {high:.2%}" in lines
    assert any(line.startswith("originals taken for recoloured 1 of 5 20.00%") for line in lines)
    assert "published: 45.87% of the recoloured taken for real (a paper)" in lines
    for model, share in (("koala", "3 of 6 50.00%"), ("feup", "1 of 2 50.00%")):
        assert any(
            line.startswith(f"{model} {digest(model)[:8]} on photos {share}") for line in lines
        )
    at = lines.index(
        f"Recoloured by koala {digest('koala')[:8]} on photos, taken for real, by picture"
    )
    assert [line.split()[:4] for line in lines[at + 1 : at + 4]] == [
        ["A", "2", "of", "2"],
        ["B", "1", "of", "2"],
        ["C", "0", "of", "2"],
    ]
    at = lines.index("Originals taken for recoloured, by picture")
    assert lines[at + 1].startswith("Y 1 of 2")


BAD = {
    "garbage": ("{", "it is no JSON"),
    "deep": ("[" * 100_000, "it is no JSON"),
    "bytes": ("\udcff", "it is no JSON"),
    "huge": (" " * (1 << 20) + "{}", "it is too large"),
    "alist": ([], "it is no file of a survey"),
    "foreign": ({"kind": "metrics"}, "it is no file of a survey"),
    "newer": (answer(9, "", schema=2), "it is of another version"),
    "nosurvey": (answer(9, "", survey=None), "it is damaged"),
    "noperson": (answer(9, "", person="Ann"), "it is damaged"),
    "noverdicts": (answer(9, "", verdicts={"a": "real"}), "it is damaged"),
    "verdict": (
        answer(9, "", verdicts=[{"picture": digest("a" * 16 + "A"), "verdict": "maybe"}]),
        "it is damaged",
    ),
    "unknown": (answer(9, "", "c" * 16), "there is no key of its survey, cccccccccccccccc"),
    "strange": (answer(9, "", names="ABCXQ"), "it has pictures that are not of its survey"),
    "twice": (answer(9, "", names="ABCXYA"), "it has two verdicts on one picture"),
    "part": (answer(9, "", names="ABC"), "it has 3 of 5 verdicts"),
    "zcopy": (answer(1, "A"), "it is of the same person as one.json"),
    "badkey": (key("d" * 16) | {"pictures": 3}, "it is damaged"),
    "halfkey": (key("d" * 16, originals=""), "it is damaged"),
    "kindofkey": (
        key("d" * 16) | {"pictures": [{"sha256": "0" * 64, "name": "A", "kind": {}}]},
        "it is damaged",
    ),
    "shareofkey": (
        key("d" * 16) | {"published": {"share": float("nan"), "source": "a paper"}},
        "it is damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_file_is_named_and_left_out(run, tmp_path, name):
    content, reason = BAD[name]
    folder = write(tmp_path / "in", key=key(), one=answer(1, "A"))
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{name}.json").write_bytes(text.encode(errors="surrogateescape"))
    code, out, err = run(survey_results_command.main, "--in", folder)
    assert code == 1 and "1 person, 3 recoloured" in out
    (line,) = err.splitlines()
    assert line.startswith(f"left out: {folder / name}.json: {reason}")


def test_no_name_in_a_key_controls_the_terminal(run, tmp_path):
    hostile = key(model="k\x1b]0;x\x07")
    hostile["pictures"][0]["name"] = "A\x1b[2J\r\n\u2028B"
    code, out, _ = run(
        survey_results_command.main,
        "--in",
        write(tmp_path / "in", key=hostile, one=answer(1, "A")),
    )
    assert code == 0 and "A?[2J B" in out and "k?]0;x?" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_the_key_may_lie_where_the_survey_was_made(run, tmp_path):
    folder = write(tmp_path / "in", one=answer(1, "A"))
    code, _, err = run(survey_results_command.main, "--in", folder)
    assert code == 2 and "no key of its survey" in err and len(err.splitlines()) == 1
    (tmp_path / "reports/survey").mkdir(parents=True)
    write(tmp_path / "reports/survey/koala", key=key(), damaged="{")
    assert run(survey_results_command.main, "--in", folder)[0] == 0
    write(tmp_path / "elsewhere", key=key())
    assert run(survey_results_command.main, "--in", folder, "--key", tmp_path / "elsewhere")[0] == 0


def test_two_keys_of_one_survey_must_agree(run, tmp_path):
    folder = write(tmp_path / "in", key=key(), copy=key(), one=answer(1, "A"))
    assert run(survey_results_command.main, "--in", folder)[0] == 0
    write(folder, other=key(recoloured="ABX", originals="CY"))
    code, out, err = run(survey_results_command.main, "--in", folder)
    assert code == 2 and not out and "another key" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("contents", [None, {}, {"key": key()}])
def test_a_folder_without_verdicts_is_an_error(run, tmp_path, contents):
    if contents is not None:
        write(tmp_path / "in", **contents)
    code, out, err = run(survey_results_command.main, "--in", tmp_path / "in")
    assert code == 2 and not out and len(err.splitlines()) == 1
