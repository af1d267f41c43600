"""Operations that give the same bits in every run, where a backend's fastest do not.

On processors the networks' operations do so anyway (docs/reliability.md); on GPUs sums are often in
the order in which threads finish.
"""

import os

import keras

from common.cli import UserError

XLA_FLAG = "--xla_gpu_deterministic_ops=true"


def enable() -> None:
    """Take such operations from here on, in the whole process.

    TensorFlow then raises an error at an operation that has none. JAX reads the setting before its
    first computation. `UserError` for other backends.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "jax":
        flags = os.environ.get("XLA_FLAGS", "").split()
        if XLA_FLAG not in flags:
            os.environ["XLA_FLAGS"] = " ".join([*flags, XLA_FLAG])
    else:
        raise UserError(f"DETERMINISTIC=1 is for TensorFlow and JAX, and the backend is {backend}.")
