"""Engines by name, and what a worker of Ray does, without Ray."""

import importlib.util
import os
import pickle

import pytest

from common import engines
from common.cli import UserError
from common.commands import colorize, evaluate, finetune, prepare, survey
from common.engines import worker
from common.training import finetuning
from tests import drawn


def doubling(cores):
    """The stage n -> (2 n, cores), which refuses 13 and cannot do "x" - 1."""

    def stage(items):
        for item in items:
            if item == 13:
                raise UserError("13 brings bad luck.")
            yield 2 * (item - 0), cores

    return stage


def answer(given, load, piece):
    made = worker.Worker(*(pickle.dumps(each) for each in (given, None, load)))
    return pickle.loads(made({"piece": pickle.dumps(piece)})["answer"])


def test_the_local_engine_is_one_pass_that_begins_when_it_is_asked():
    results = engines.LOCAL.run(doubling, iter([3, 1, 13]))
    assert [next(results), next(results)] == [(6, os.cpu_count()), (2, os.cpu_count())]
    with pytest.raises(UserError, match="13"):
        next(results)


def test_a_worker_answers_with_results_or_the_users_error_or_a_defect(monkeypatch):
    given = worker.surroundings()
    assert answer((given, 1), doubling, [1, 2]) == ("results", [(2, 1), (4, 1)])
    kind, error = answer((given, 1), doubling, [1, 13])
    assert (kind, type(error), str(error)) == ("error", UserError, "13 brings bad luck.")
    kind, text = answer((given, 1), doubling, ["x"])
    assert kind == "defect" and "TypeError" in text


def test_a_worker_works_in_the_same_folder_with_the_same_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDING_WEIGHTS", "random")
    monkeypatch.chdir(tmp_path)
    given = worker.surroundings()
    monkeypatch.chdir("/")
    monkeypatch.delenv("EMBEDDING_WEIGHTS")
    assert answer((given, 1), doubling, [1])[0] == "results"
    assert (os.getcwd(), os.environ["EMBEDDING_WEIGHTS"]) == (str(tmp_path), "random")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"folder": "/nowhere/at/all"}, "has no folder /nowhere/at/all"),
        ({"versions": {"numpy": "0.1"}}, "this one 0.1: their results would differ"),
        ({"versions": {"pillow-x": "9"}}, "has pillow-x not at all"),
    ],
)
def test_a_machine_that_would_not_give_the_same_is_named(change, words):
    kind, error = answer((worker.surroundings() | change, 1), doubling, [1])
    assert kind == "error" and words in str(error)


def test_an_address_needs_the_engine_and_the_engine_needs_ray(monkeypatch):
    with pytest.raises(UserError, match="add ENGINE=ray"), engines.started("local", "auto"):
        pass
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="make setup RAY=1"), engines.started("ray"):
        pass


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (prepare, []),
        (colorize, ["--in=photos"]),
        (evaluate, []),
        (survey, ["koala"]),
        (finetune, ["--data=photos"]),
    ],
)
def test_without_ray_a_command_says_so_in_one_line(command, words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    drawn.folder("photos", finetuning.NEEDED, 8)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="ENGINE=ray needs Ray"):
        command.main([*words, "--engine=ray"])
