"""Batch normalisation by TensorFlow's fused kernel, in a sixth of the time on a CPU.

Keras computes the layer by some thirty operations, each of which passes over the whole tensor in
float32; beside convolutions in bfloat16 they take as long as the convolutions. oneDNN has one
kernel for the forward pass and one for the backward pass, which read and write bfloat16 and
accumulate in float32.

Networks are built, exported and loaded with Keras's own layer. `exchange` replaces it by the fused
one in a network's configuration, or the other way round; names and weights are the same.
"""

from typing import Any

import keras
from keras import layers


def fused_pays() -> bool:
    """Whether the fused layer is the faster one: under TensorFlow without a GPU.

    On a GPU, XLA itself fuses Keras's operations.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@keras.saving.register_keras_serializable("colorization")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras's BatchNormalization by FusedBatchNormV3, equal up to rounding.

    The kernel takes (N, H, W, C) in float32 or bfloat16, without a mask, and variables in
    float32; on anything else, and on other backends, Keras's own computation runs.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (N, H, W, C): by the batch in training, else by the moving statistics."""
        if not self._fits(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        inputs = tf.convert_to_tensor(inputs)
        training = bool(training and self.trainable)  # a frozen layer uses its moving statistics
        none = tf.zeros(0)  # in training the kernel takes no moving statistics
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(inputs.shape[-1]),
            offset=tf.convert_to_tensor(self.beta) if self.center else tf.zeros(inputs.shape[-1]),
            mean=none if training else tf.convert_to_tensor(self.moving_mean),
            variance=none if training else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            variance *= (count - 1) / count  # the kernel divides by count - 1, Keras by count
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs

    def _fits(self, inputs, mask):
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and mask is None
            and dtype in ("float32", "bfloat16")
            and dtype == self.compute_dtype
            and self.variable_dtype == "float32"
            and not getattr(self, "renorm", False)  # which older versions do not have
            and not self.synchronized
        )


def exchange(settings: dict[str, Any], fused: bool) -> None:
    """Name the fused layer in the configuration of a functional model, or Keras's own layer.

    settings: the result of `model.get_config()`, changed in place, nested models included.
    """
    pair = layers.BatchNormalization, FusedBatchNormalization
    old, new = pair if fused else pair[::-1]
    new = keras.saving.serialize_keras_object(new(name="any"))
    for layer in settings["layers"]:
        if "layers" in layer["config"]:
            exchange(layer["config"], fused)
        elif layer["class_name"] == old.__name__:
            layer.update({key: new[key] for key in ("module", "class_name", "registered_name")})
