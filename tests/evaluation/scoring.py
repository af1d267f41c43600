"""`evaluate` for tests: nothing is written unless a folder is named, options are keywords."""

from common.evaluation.evaluate import Options, evaluate


def evaluated(paths, dataset, split="test", out=None, **options):
    """The `rows.Evaluation`, with fields of `Options` as keywords."""
    return evaluate(paths, dataset, split, out, Options(**options))
