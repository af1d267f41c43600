"""A training step on several devices, equal to that on one up to rounding.

On JAX one program runs on all devices, those of other hosts included. What it computes of a batch,
as losses, the statistics of batch normalisation and dropout, is of the whole batch by itself.

On TensorFlow `tf.distribute.MirroredStrategy` runs the step on each device with its part of the
batch. Statistics of batch normalisation are taken over all parts (`synchronized`), and dropout is
drawn for the whole batch. The network that is exported has neither: what trains is a twin of it.
`keras.Model.train_on_batch` is of no use here, since under a strategy every replica gets the whole
batch. Of a classification head's loss, means over the known labels are taken by device.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from common.networks.precision import choose_jit
from common.training.devices import Devices


class Sharded:
    """JAX's placement of a batch and of a network's state on the devices of all hosts."""

    def __init__(self, devices: Devices):
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        self._differ = not devices.hosts.alone  # whether hosts may have other values of the state
        # In the order of the hosts, so that each has the part of the batch that it reads.
        of_hosts: dict[int, list] = {}
        for device in sorted(jax.devices(), key=lambda device: device.id):
            of_hosts.setdefault(device.process_index, []).append(device)
        share = len(devices.local)
        mesh = Mesh(
            np.array([d for _, each in sorted(of_hosts.items()) for d in each[:share]]), "batch"
        )
        self._parts = NamedSharding(mesh, PartitionSpec("batch"))
        self._whole = NamedSharding(mesh, PartitionSpec())

    def put(self, batch: Any) -> Any:
        """This host's part of a batch, NumPy arrays -> the global batch, divided."""
        import jax

        return keras.tree.map_structure(
            lambda array: jax.make_array_from_process_local_data(self._parts, np.asarray(array)),
            batch,
        )

    def put_state(self, state: Any) -> Any:
        """Arrays of this host, the first time those of host 0 -> whole on every device."""
        import jax

        state = keras.tree.map_structure(keras.ops.convert_to_numpy, state)
        if self._differ:
            from jax.experimental import multihost_utils

            self._differ = False
            state = multihost_utils.broadcast_one_to_all(state)
            state = keras.tree.map_structure(np.asarray, state)
        return keras.tree.map_structure(
            lambda array: jax.make_array_from_callback(
                array.shape, self._whole, lambda index: array[index]
            ),
            state,
        )

    def jit(self, step: Callable) -> Callable:
        """A compiled step, whose first argument is given up and whose results are whole."""
        import jax

        return jax.jit(step, donate_argnums=0, out_shardings=self._whole)


class Mirrored:
    """TensorFlow's devices of one machine, each with a copy of the network."""

    def __init__(self, devices: Devices):
        import tensorflow as tf

        self._strategy = tf.distribute.MirroredStrategy(list(devices.local))
        self._count = devices.count

    def put(self, batch: Any) -> Any:
        """A batch of NumPy arrays, divided among the devices."""
        import tensorflow as tf

        parts = keras.tree.map_structure(lambda array: np.split(array, self._count), batch)

        def part(context):
            number = context.replica_id_in_sync_group
            with tf.device(self._strategy.extended.worker_devices[number]):
                return keras.tree.map_structure_up_to(
                    batch, lambda each: tf.convert_to_tensor(each[number]), parts
                )

        return self._strategy.experimental_distribute_values_from_function(part)

    def step(
        self,
        model: keras.Model,
        prepare: Callable[[Any], tuple[Any, Any]],
        compile_model: Callable[[keras.Model], None],
        batch: Any,
    ) -> tuple[Callable[[Any], dict[str, Any]], Callable[[], None]]:
        """(the step as a function of a batch, what brings the model's variables up to date)."""
        import tensorflow as tf

        strategy = self._strategy
        with strategy.scope():
            twin = _twin(model)
            compile_model(twin)
            choose_jit(twin)
            twin.optimizer.build(twin.trainable_variables)
            own = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], batch
            )
            twin._symbolic_build(data_batch=(*prepare(own), None))

        @tf.autograph.experimental.do_not_convert
        def of_part(batch):
            twin.reset_metrics()
            return twin.train_step(prepare(batch))

        @tf.autograph.experimental.do_not_convert
        def of_all(batch):
            values = strategy.run(of_part, (batch,))
            mean = tf.distribute.ReduceOp.MEAN
            return {key: strategy.reduce(mean, value, axis=None) for key, value in values.items()}

        compiled = tf.function(of_all, jit_compile=twin.jit_compile)
        current = False  # whether the twin, not the model, has the last state

        def run(batch):
            nonlocal current
            if not current:
                _copy(model, twin)
                current = True
            return compiled(batch)

        def settle():
            nonlocal current
            if current:
                _copy(twin, model)
                current = False

        return run, settle


def _copy(source, target):
    """Set every variable of a compiled network, its optimizer's included, as another's."""
    pairs = zip(
        [*source.variables, *source.optimizer.variables],
        [*target.variables, *target.optimizer.variables],
        strict=True,
    )
    for theirs, ours in pairs:
        ours.assign(keras.ops.convert_to_numpy(theirs))


def _twin(model):
    """A network of the same layers, with what depends on the batch as a whole made so."""

    def copied(layer):
        settings = layer.get_config()
        kind = type(layer)
        if isinstance(layer, layers.BatchNormalization):
            settings["synchronized"] = True
        elif isinstance(layer, layers.Dropout):
            kind = type(f"WholeBatch{kind.__name__}", (_OfWholeBatch, kind), {})
        return kind.from_config(settings)

    twin = keras.models.clone_model(model, clone_function=copied, recursive=True)
    for theirs, ours in zip(model._flatten_layers(), twin._flatten_layers(), strict=True):
        ours.trainable = theirs.trainable
    return twin


class _OfWholeBatch(layers.Dropout):
    """Dropout of a part of the batch, drawn as for the whole; before a layer's own class."""

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        shape = tf.shape(inputs)
        size = shape[0]
        whole = tf.ones([size * context.num_replicas_in_sync, *tf.unstack(shape)[1:]], inputs.dtype)
        kept = super().call(whole, training=True)
        first = context.replica_id_in_sync_group * size
        return inputs * kept[first : first + size]
