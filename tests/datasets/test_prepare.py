"""From a folder to shards: splits, resume to the same bytes, what is left out, what is refused."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import cli, datasets, files, locks, photos
from common.cli import UserError
from common.commands import prepare as prepare_command
from common.datasets import plan, samples, statistics
from common.datasets.build import ShardWriter
from tests import drawn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path):
    return drawn.folder(tmp_path / "photos", 24, 40)


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _prepare(source, tmp_path, name="shards", **options):
    return datasets.prepare(source, 32, "squash", folder=tmp_path / name, **options)


def _left_out(dataset):
    return plan.left_out(dataset.manifest, dataset.folder)


def test_nested_folders_odd_names_and_classes(tmp_path):
    source = tmp_path / "my photos é"
    for folder in ("cats", "dogs.and more"):
        drawn.folder(source / folder, 10)
    dataset = _prepare(source, tmp_path)
    names = {name for split in datasets.SPLITS for name in dataset.names(split)}
    assert len(names) == 20 and "dogs.and more/picture-003.png" in names
    assert dataset.labels == ["cats", "dogs.and more"]
    batch = next(dataset.batches("train", 50))
    for name, label in zip(batch["name"], batch["label"], strict=True):
        assert dataset.labels[label] == name.split("/")[0]


def test_pictures_are_what_photos_decodes(source, tmp_path):
    batch = next(_prepare(source, tmp_path).batches("train", 3))
    for name, rgb in zip(batch["name"], batch["rgb"], strict=True):
        assert (photos.decode((source / name).read_bytes(), 32, "squash") == rgb).all()


def test_split_by_content_stays_when_photos_are_moved_added_or_copied(tmp_path):
    first = _prepare(drawn.folder(tmp_path / "a", 60, 12), tmp_path, "one")
    before = {digest: split for split in datasets.SPLITS for digest in first.sha256(split)}
    source = drawn.folder(tmp_path / "b" / "moved", 90, 12)
    (source / "copy.png").write_bytes((source / "picture-007.png").read_bytes())
    second = _prepare(tmp_path / "b", tmp_path, "two")
    after = [(digest, split) for split in datasets.SPLITS for digest in second.sha256(split)]
    assert len(after) == 91
    assert all(before.get(digest, split) == split for digest, split in after)
    assert len(dict(after)) == 90  # the copy is with its original


def test_a_handful_of_pictures_still_fills_every_split(tmp_path):
    dataset = _prepare(drawn.folder(tmp_path / "few", 5), tmp_path)
    assert [dataset.count(split) for split in datasets.SPLITS] == [3, 1, 1]


def test_split_by_folder_keeps_bursts_together(tmp_path):
    for burst in range(30):
        for shot in range(2):
            drawn.folder(tmp_path / "photos" / f"burst{burst}" / "x", 1, 12 + shot)
            path = tmp_path / "photos" / f"burst{burst}" / "x" / "picture-000.png"
            path.rename(path.with_name(f"{shot}.png"))
    dataset = _prepare(tmp_path / "photos", tmp_path, split_by="folder")
    splits = [{name.split("/")[0] for name in dataset.names(split)} for split in datasets.SPLITS]
    assert all(splits) and sum(map(len, splits)) == 30


def test_folders_named_after_splits_are_the_splits(tmp_path):
    for folder, count in (("train", 6), ("val", 3), ("test", 2)):
        drawn.folder(tmp_path / "photos" / folder / "class", count)
    dataset = _prepare(tmp_path / "photos", tmp_path, split_by="folder")
    assert [dataset.count(split) for split in datasets.SPLITS] == [6, 3, 2]


def test_other_fractions_lie_beside_the_usual_split(tmp_path, monkeypatch):
    """What one of them tests on, the other has not trained on."""
    monkeypatch.chdir(tmp_path)
    drawn.folder(tmp_path / "photos", 120, 8)
    usual = datasets.prepare("photos", 8, "squash")
    other = datasets.prepare("photos", 8, "squash", fractions=(0.8, 0.1, 0.1))
    assert other.folder.name == f"{usual.folder.name}-80-10-10"
    assert set(usual.sha256("test")) < set(other.sha256("test"))
    assert not set(usual.sha256("train")) & set(
        datasets.prepare("photos", 8, "squash", fractions=(0.95, 0.025, 0.025)).sha256("test")
    )
    # A split by a list is one for all fractions.
    (tmp_path / "list.csv").write_text(
        "".join(f"picture-{i:03d}.png,{'test' if i % 3 else 'train'}\n" for i in range(120))
    )
    listed = datasets.prepare("photos", 9, "squash", split_by="list.csv")
    again = datasets.prepare("photos", 9, "squash", fractions=(0.8, 0.1, 0.1))
    assert again.folder == listed.folder and again.count("test") == 80


def test_so_many_pictures_and_no_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn.folder(tmp_path / "faces", 20, 8)
    faces = dataclasses.replace(datasets.source_of("faces"), counts=(9, 4, 3))
    dataset = datasets.prepare(faces, 8, "squash", fractions=(0.95, 0.025, 0.025))
    assert [dataset.count(split) for split in datasets.SPLITS] == [9, 4, 3]
    assert [reason for _, reason in _left_out(dataset)] == ["beyond the counts"] * 4
    faces = dataclasses.replace(faces, counts=(19, 1, 1))
    with pytest.raises(UserError, match="counts=.* not .19, 1, 1"):
        datasets.prepare(faces, 8, "squash")
    with pytest.raises(UserError, match="21 pictures are needed, 20 are there. .* DATA="):
        datasets.prepare(faces, 8, "squash", overwrite=True)


def test_split_by_list(source, tmp_path):
    rows = [
        f"picture-{i:03d}.png,{'test' if i < 4 else 'val' if i < 6 else 'train'}" for i in range(20)
    ]
    (tmp_path / "split.csv").write_text("path,split\n" + "\n".join(rows))
    dataset = _prepare(source, tmp_path, split_by=str(tmp_path / "split.csv"))
    assert [dataset.count(split) for split in datasets.SPLITS] == [14, 2, 4]
    assert ["picture-022.png", "not in the split list"] in _left_out(dataset)
    # Once made, the split is the data set's: it need not be named again.
    assert _prepare(source, tmp_path).split_sha256() == dataset.split_sha256()
    with pytest.raises(UserError, match="made with split_by=.*split.csv, not folder"):
        _prepare(source, tmp_path, split_by="folder")


def test_a_split_without_training_pictures_is_named_before_any_is_read(source, tmp_path):
    (tmp_path / "split.csv").write_text("picture-000.png,test\n")
    options = {"split_by": str(tmp_path / "split.csv")}
    with pytest.raises(UserError, match=r"No picture of .*photos is in the training split"):
        _prepare(source, tmp_path, **options)
    assert not list((tmp_path / "shards").glob("*.tfrecord"))
    assert _prepare(source, tmp_path, for_training=False, **options).count("test") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no split list"),
        ("a.png,training,2\n", "entry 1"),
        ("a.png,maybe\n", "maybe"),
    ],
)
def test_a_wrong_split_list(source, tmp_path, text, message):
    if text:
        (tmp_path / "split.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        _prepare(source, tmp_path, split_by=str(tmp_path / "split.csv"))


def test_bad_files_are_left_out_listed_and_counted(tmp_path, capsys):
    source = drawn.folder(tmp_path / "photos", 40)
    good = (source / "picture-000.png").read_bytes()
    (source / "empty.jpg").write_bytes(b"")
    (source / "cut.png").write_bytes(good[: len(good) // 2])
    (source / "text.jpg").write_text("no picture at all")
    (source / "notes.txt").write_text("notes")
    dataset = _prepare(source, tmp_path)
    assert sum(dataset.count(split) for split in datasets.SPLITS) == 40
    output = capsys.readouterr()
    for name in ("empty.jpg", "cut.png", "text.jpg"):
        assert f"left out: {name}: " in output.err
    assert "3 unreadable, 1 other files" in output.out
    assert ["notes.txt", "no picture"] in _left_out(dataset)


def test_links_pipes_and_what_vanishes_are_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    source = drawn.folder(tmp_path / "photos", 12)
    drawn.folder(tmp_path / "elsewhere", 1)
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    (source / "broken.png").symlink_to("nothing.png")
    (source / "loop.png").symlink_to("loop.png")
    os.mkfifo(source / "pipe.png")
    listed = photos.find(source)
    (source / "gone.png").write_bytes(b"gone")
    monkeypatch.setattr(photos, "walk", _found_with(source / "gone.png", photos.walk))
    dataset = _prepare(source, tmp_path)
    assert sum(dataset.count(split) for split in datasets.SPLITS) == len(listed) == 12
    errors = capsys.readouterr().err
    for name, reason in _left_out(dataset):
        assert f"left out: {name}: {reason}\n" in errors
    assert dict(_left_out(dataset)) == {
        "broken.png": "a broken link",
        "gone.png": "cannot be read (no such file or directory)",
        "linked": "a link to a folder, which is not followed",
        "loop.png": "a link that leads back to itself",
        "pipe.png": "a pipe, a socket or a device",
    }


def _found_with(vanishing, walk):
    """`walk`, after which a file vanishes."""

    def found(folder, skipped=None):
        paths = list(walk(folder, skipped))
        vanishing.unlink(missing_ok=True)
        return paths

    return found


def test_over_a_tenth_unreadable_is_an_error_each_time(tmp_path):
    source = drawn.folder(tmp_path / "photos", 20)
    for i in range(3):
        (source / f"bad{i}.jpg").write_bytes(b"bad")
    for _ in range(2):
        with pytest.raises(UserError, match="3 of 23 pictures"):
            _prepare(source, tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "imagenet-mini"])
def test_unknown_and_absent_data_sets(name, tmp_path, capsys):
    code = cli.run(prepare_command.main, ["--data", name, "--embedding", "none"])
    errors = capsys.readouterr().err
    assert code == 2 and len(errors.splitlines()) == 1 and name in errors


def test_an_empty_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="no picture in"):
        _prepare(tmp_path / "photos", tmp_path)


def _toned(grey, tone):
    """A grey picture in a tone, (S, S, 3) uint8: a factor a channel, as dyes have it."""
    return np.round(grey[..., None] * np.array(tone)).astype(np.uint8)


@pytest.mark.parametrize("tone", [(1, 1, 1), (1, 0.85, 0.65), (0.98, 0.95, 0.88), (0.85, 0.95, 1)])
def test_grey_sepia_and_old_prints_are_grey_and_drawn_colours_are_not(tone):
    for seed in range(8):
        colour = drawn.picture(seed, 96)
        toned = _toned(colour.mean(-1), tone)
        noise = np.random.default_rng(seed).normal(0, 2, toned.shape)
        scan = np.clip(toned + noise, 0, 255).astype(np.uint8)
        jpeg = cv2.imdecode(cv2.imencode(".jpg", scan)[1], cv2.IMREAD_COLOR)
        assert photos.is_grey(toned) and photos.is_grey(jpeg)
        assert not photos.is_grey(colour)
    assert not photos.is_grey(_toned(np.full((32, 32), 200), (1, 0.1, 0)))  # one strong colour


@pytest.mark.parametrize(("grey", "warned"), [(0, False), (3, True), (24, True)])
def test_grey_pictures_are_a_warning_from_a_tenth_on(tmp_path, capsys, grey, warned):
    source = drawn.folder(tmp_path / "photos", 24)
    for index in range(grey):
        path = str(source / f"picture-{index:03d}.png")
        cv2.imwrite(path, cv2.imread(path, cv2.IMREAD_GRAYSCALE))
    for name in ("one", "one", "two"):  # a finished data set warns as well
        shares = statistics.grey_share(_prepare(source, tmp_path, name, split_by="folder"))
        assert ("warning: " in capsys.readouterr().err) is (shares >= 0.1) is warned


def test_a_finished_data_set_is_left_alone(source, tmp_path):
    _prepare(source, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").iterdir()}
    _prepare(source, tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").iterdir()}


def test_a_changed_source_is_named(source, tmp_path):
    _prepare(source, tmp_path)
    (source / "picture-003.png").unlink()
    drawn.folder(source / "new", 1)
    with pytest.raises(UserError, match=r"2 files \(new/picture-000.png, picture-003.png\)"):
        _prepare(source, tmp_path)
    assert _prepare(source, tmp_path, overwrite=True).count("train")


def test_the_way_out_of_a_changed_source_fits_fractions_that_make_data_does_not_know(
    source, tmp_path
):
    _prepare(source, tmp_path, embedding=None, fractions=(0.5, 0.25, 0.25))
    drawn.folder(source / "new", 1)
    with pytest.raises(UserError, match=r"shards; it is then made anew\.$"):
        _prepare(source, tmp_path, embedding=None, fractions=(0.5, 0.25, 0.25))


def test_other_settings_are_refused_by_name(source, tmp_path):
    _prepare(source, tmp_path)
    with pytest.raises(UserError, match="made with seed=0, not 1"):
        _prepare(source, tmp_path, seed=1)


def test_one_damaged_shard_is_made_anew_to_the_same_bytes(source, tmp_path):
    _prepare(source, tmp_path, embedding=None)
    before = _bytes(tmp_path / "shards")
    (tmp_path / "shards" / "train-00000.tfrecord").unlink()
    _prepare(source, tmp_path)
    assert _bytes(tmp_path / "shards") == before


def test_a_shard_that_turns_out_damaged_is_made_anew_as_it_is_read(source, tmp_path, capsys):
    dataset = _prepare(source, tmp_path, embedding=None)
    whole, path = next(dataset.batches("train", 100)), dataset.paths("train")[0]
    before = _flip(path)
    assert (dataset.read("train", range(len(whole["name"])))["rgb"] == whole["rgb"]).all()
    assert path.read_bytes() == before
    assert f"{path} is corrupt at byte" in capsys.readouterr().out
    _flip(path)
    source.rename(tmp_path / "away")
    with pytest.raises(UserError, match="Bring it back"):
        dataset.read("train", range(len(whole["name"])))


def test_what_a_build_left_that_was_killed_at_its_very_end_is_removed(source, tmp_path):
    """Its plans, half a file, and its lock."""
    folder = _prepare(source, tmp_path).folder
    whole = sorted(folder.iterdir())
    for name in ("train-00000.plan.json", locks.NAME, ".writing-abc"):
        (folder / name).touch()
    (folder / ".writing-abc").unlink()
    (folder / ".writing-abc").mkdir()
    with locks.held(folder):  # while another has it, the lock stays
        _prepare(source, tmp_path)
        assert (folder / locks.NAME).exists()
    (folder / locks.NAME).touch()
    _prepare(source, tmp_path)
    assert sorted(folder.iterdir()) == whole


def test_without_the_manifest_all_is_planned_anew(source, tmp_path):
    folder = _prepare(source, tmp_path).folder
    whole = _bytes(folder)
    (folder / "manifest.json").unlink()
    (folder / "train-00007.json").write_text("of an earlier plan")
    _prepare(source, tmp_path)
    assert _bytes(folder) == whole


def test_without_an_index_one_line_says_what_to_delete(source, tmp_path):
    folder = _prepare(source, tmp_path).folder
    (folder / "train-00000.json").unlink()
    with pytest.raises(UserError, match="train-00000.json is corrupt .it is missing.. Delete"):
        _prepare(source, tmp_path)


def test_a_build_goes_on_from_an_index_or_a_plan_and_a_damaged_plan_is_one_line(
    source, tmp_path, monkeypatch
):
    whole = _bytes(_prepare(source, tmp_path, "whole", shard_pictures=8).folder)
    made = ShardWriter.__call__

    def stops(writer, shard, *given):
        if shard["name"] != "train-00001":
            return made(writer, shard, *given)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(ShardWriter, "__call__", stops)
        _prepare(source, tmp_path, shard_pictures=8)
    folder = tmp_path / "shards"
    _flip(folder / "train-00000.json")  # the shard is made anew from its plan
    plan_ = (folder / "train-00001.plan.json").read_bytes()
    _flip(folder / "train-00001.plan.json")
    with pytest.raises(UserError, match="train-00001.plan.json is corrupt .*Delete"):
        _prepare(source, tmp_path)
    (folder / "train-00001.plan.json").write_bytes(plan_)
    _prepare(source, tmp_path)
    assert _bytes(folder) == whole


def test_two_builds_at_once_wait_for_each_other(source, tmp_path):
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: _prepare(source, tmp_path), range(2))
    assert first.names("train") == second.names("train")
    assert not list((tmp_path / "shards").glob(".*"))


def _flip(path):
    """Flip a bit in the middle of a file; returns the bytes before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    return before


def test_the_shards_serve_when_the_source_is_gone(source, tmp_path):
    _prepare(source, tmp_path)
    for path in source.iterdir():
        path.unlink()
    source.rmdir()
    assert _prepare(source, tmp_path).count("train")
    with pytest.raises(UserError, match="There is no folder"):
        _prepare(source, tmp_path, overwrite=True)
    assert _prepare(source, tmp_path).count("train")  # nothing was lost


KILLED = """
import itertools, os, signal, sys
from common import datasets
from common.datasets import records

write, calls = records.write_shard, itertools.count(1)


def some(examples):
    yield from itertools.islice(examples, 7)
    os.kill(os.getpid(), signal.SIGKILL)


def until_the_third(path, examples):
    return write(path, some(examples) if next(calls) == 3 else examples)


records.write_shard = until_the_third
datasets.prepare(sys.argv[1], 48, "centre", folder=sys.argv[2], shard_pictures=20)
"""


def test_a_killed_build_completes_to_the_bytes_of_an_undisturbed_one(tmp_path):
    source = drawn.folder(tmp_path / "photos", 150, 64, ".jpg")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"

    def build(folder):
        datasets.prepare(source, 48, "centre", folder=folder, shard_pictures=20)

    build(whole)
    killed = [sys.executable, "-c", KILLED, str(source), str(stopped)]
    done = subprocess.run(killed, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(stopped.glob("*.tfrecord"))) == 2
    assert not json.loads((stopped / "manifest.json").read_text())["complete"]
    build(stopped)
    assert len(list(whole.glob("*.tfrecord"))) > 5
    assert _bytes(stopped) == _bytes(whole)


def test_a_file_that_changes_under_a_build_is_named(source, tmp_path):
    settings = plan.Settings("x", str(source), 32, "squash", "content", datasets.FRACTIONS, seed=0)
    (shard, *_) = plan.make(settings, tmp_path / "shards")["shards"]
    writer = ShardWriter(tmp_path / "shards", source, 32, "squash")
    name = writer.rows(shard)[0].name
    data = bytearray((source / name).read_bytes())
    data[-1] ^= 1
    (source / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name} changed while"):
        writer(shard, advance=lambda count: None)
    assert not list((tmp_path / "shards").glob("*.tfrecord"))


def test_samples_are_distinct_views_that_are_made_again_to_the_same_bytes(tmp_path):
    chosen = {"train": (("coffee.png", "rocket.jpg"), 3), "test": (("chelsea.png",), 2)}
    folder = samples.make(tmp_path / "samples", chosen)
    views = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert views == [
        *(f"test/chelsea-00{i}.png" for i in range(2)),
        *(f"train/{name}-00{i}.png" for name in ("coffee", "rocket") for i in range(3)),
    ]
    assert len({files.sha256(folder / view) for view in views}) == len(views)
    before = files.sha256(folder / "train" / "coffee-000.png")
    (folder / "train" / "coffee-000.png").unlink()
    assert files.sha256(samples.make(folder, chosen) / "train" / "coffee-000.png") == before


def test_no_photo_of_the_samples_is_in_two_splits_and_they_are_few():
    names = [name for photos_, _ in samples.PHOTOS.values() for name in photos_]
    assert len(names) == len(set(names))
    assert sum(len(photos_) * views for photos_, views in samples.PHOTOS.values()) < 1500


def test_a_folder_in_the_home_is_the_same_data_set(tmp_path, monkeypatch):
    drawn.folder(tmp_path / "photos", 5, 8)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert datasets.source_of("~/photos").folder == tmp_path / "photos"
    assert datasets.source_of("~/photos").name == datasets.source_of("photos").name
    assert datasets.prepare("~/photos", 8, "squash").count("train") == 3
