"""One training step on the backend: compiled, and not waited for.

This is the one place where a batch meets the network. On several devices `common.training.parallel`
places a batch and compiles the step; the loop, the order of the batches and the checkpoint stay as
they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from common.training.devices import ONE, Devices
from common.training.parallel import Mirrored, Sharded


class Step:
    """A training step of a compiled model: `step(step.put(batch))` -> {name: scalar on the device}.

    The values are the loss and the metrics of this batch alone, as `train_on_batch` returns them.
    Nothing waits for them: `read` does. Until `settle` the model's variables may be out of date
    (on JAX they are not even there: their memory was given to the next step), so whoever looks at
    them calls it first; what is then assigned to them counts in the next step.

    prepare: (inputs, targets) of a batch, by `keras.ops` alone: it is compiled with the step, and
    runs on the device. A batch is a dict of arrays of the same shapes and dtypes in every step.
    devices: where to train; `put` then takes this host's share of the batch. compile_model: gives
    another copy of the network its optimizer and loss, where there is one for each device.
    """

    def __init__(
        self,
        model: keras.Model,
        prepare: Callable[[Any], tuple[Any, Any]],
        devices: Devices = ONE,
        compile_model: Callable[[keras.Model], None] | None = None,
    ):
        self._model, self._prepare, self._compile_model = model, prepare, compile_model
        self._parallel: Sharded | Mirrored | None = None
        if devices.count > 1:
            self._parallel = (Sharded if keras.backend.backend() == "jax" else Mirrored)(devices)
        self._run: Callable[[Any], dict[str, Any]] | None = None
        self._settle: Callable[[], None] = _nothing

    def put(self, batch: Any) -> Any:
        """A batch of NumPy arrays on the device; may be called in a thread, ahead of the step."""
        if self._parallel:
            return self._parallel.put(batch)
        if keras.backend.backend() == "jax":
            import jax

            return jax.device_put(batch)
        return keras.tree.map_structure(keras.ops.convert_to_tensor, batch)

    def __call__(self, batch: Any) -> dict[str, Any]:
        if self._run is None:
            self._run, self._settle = self._compiled(batch)
        return self._run(batch)

    def settle(self) -> None:
        """Bring the model's variables up to date."""
        self._settle()

    @staticmethod
    def read(values: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
        """The values of steps as floats: waits until they are there."""
        return [
            {name: float(keras.ops.convert_to_numpy(value)) for name, value in each.items()}
            for each in values
        ]

    def _compiled(self, batch):
        """(the step as a function of a batch, what `settle` calls)."""
        model, backend = self._model, keras.backend.backend()
        model.optimizer.build(model.trainable_variables)
        if isinstance(self._parallel, Mirrored):
            assert self._compile_model is not None
            return self._parallel.step(model, self._prepare, self._compile_model, batch)
        if backend not in ("tensorflow", "jax"):
            return lambda batch: _on_any(model, self._prepare(batch)), _nothing
        # Keras creates the variables of metrics with the first batch: here, before the step is
        # compiled, since a compiled function must not create any.
        if backend == "jax":
            import jax

            model._symbolic_build(data_batch=(*jax.eval_shape(self._prepare, batch), None))
            return _on_jax(model, self._prepare, self._parallel)
        model._symbolic_build(data_batch=(*self._prepare(batch), None))
        return _on_tensorflow(model, self._prepare), _nothing


def _nothing() -> None:
    pass


def _on_any(model, data):
    return model.train_on_batch(*data, return_dict=True)


def _on_tensorflow(model, prepare):
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def step(batch):
        model.reset_metrics()
        return model.train_step(prepare(batch))

    return tf.function(step, jit_compile=model.jit_compile)


def _on_jax(model, prepare, sharded):
    """Variables pass through the step as arrays, and are assigned when it is settled."""
    import jax

    model.reset_metrics()
    metrics = [keras.ops.convert_to_numpy(variable) for variable in model.metrics_variables]
    kept: list[Any] = []  # the state after the last step, until it is settled

    def step(state, batch):
        values, (*state, _) = model.train_step((*state, metrics), prepare(batch))
        return values, tuple(state)

    if sharded:
        step = sharded.jit(step)
    elif model.jit_compile:
        step = jax.jit(step, donate_argnums=0)

    def variables():
        return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables

    def placed():
        state = tuple([v.value for v in each] for each in variables())
        return sharded.put_state(state) if sharded else state

    def run(batch):
        state = kept.pop() if kept else placed()
        values, state = step(state, batch)
        kept.append(state)
        return values

    def settle():
        if kept:
            for each, arrays in zip(variables(), kept.pop(), strict=True):
                for variable, array in zip(each, arrays, strict=True):
                    variable.assign(keras.ops.convert_to_numpy(array) if sharded else array)

    return run, settle
