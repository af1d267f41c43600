"""Whether a run that is stopped and started again ends with the same bits as one that is not."""

import os
import signal

import keras
import numpy as np

from common import training


class Stop(keras.callbacks.Callback):
    """Sends SIGTERM after so many batches, as `kill` does."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_train_batch_end(self, batch, logs=None):
        self.batches -= 1
        if self.batches == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def assert_goes_on_to_the_same_bits(report, config, data, before, after, **options):
    """Compare the checkpoints of two runs that end after the same number of steps.

    One is stopped after `before` steps, then started again for `after` more. Neither is trained to
    its end, so that no time goes into an export.
    """

    def state(run, *stops):
        for batches in stops:
            stopped = training.train(
                report,
                config,
                data,
                run=run,
                precision="float32",
                callbacks=[Stop(batches)],
                **options,
            )
            assert stopped.stopped_by == signal.SIGTERM
        with np.load(stopped.folder / "checkpoint.npz") as stored:
            return {key: stored[key] for key in stored.files if key != "progress"}

    whole, parts = state("whole", before + after), state("parts", before, after)
    assert whole.keys() == parts.keys() and len(whole) > 20
    assert all(whole[key].tobytes() == parts[key].tobytes() for key in whole)
    return whole
