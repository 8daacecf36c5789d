"""An optimizer that TensorFlow does not have.

    Muon              orthogonal steps for the filters, Nesterov momentum for all else
    orthogonal_factor a matrix with its singular values near 1
"""

import tensorflow.compat.v1 as tf

# Coefficients of the polynomial a s + b s^3 + c s^5, which moves singular values s towards 1.
COEFFICIENTS = 3.4445, -4.7750, 2.0315
ITERATIONS = 3


class Muon(tf.train.MomentumOptimizer):
    """Momentum whose steps of the filters of convolutions are made orthogonal.

    Before each step the filters of a convolution are scaled to the norm sqrt(outputs), so that the
    steps keep their relative size. All other variables take steps of Nesterov momentum.
    K. Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024.

    Args:
      filter_rate: function without arguments -> learning rate of the filters.
      rate: function without arguments -> learning rate of all other variables.
      momentum: float, of both.
    """

    def __init__(self, filter_rate, rate, momentum):
        super().__init__(rate, momentum, name="Muon", use_nesterov=True)
        self._filter_rate, self._factor = filter_rate, momentum

    def _prepare(self):
        super()._prepare()
        self._filter_rate_tensor = tf.convert_to_tensor(self._filter_rate())

    def _resource_apply_dense(self, grad, var):
        if len(var.shape) != 4:
            return super()._resource_apply_dense(grad, var)
        velocity = self.get_slot(var, "momentum")
        new_velocity = self._factor * velocity + grad
        ahead = grad + self._factor * new_velocity
        outputs = int(var.shape[3])
        step = tf.reshape(orthogonal_factor(tf.reshape(ahead, [-1, outputs])), var.shape)
        scaled = var * (outputs ** 0.5 / tf.norm(var))
        return tf.group(velocity.assign(new_velocity, read_value=False),
                        var.assign(scaled - self._filter_rate_tensor * step, read_value=False))


def orthogonal_factor(matrix):
    """A matrix with the singular vectors of `matrix` and singular values between 0.7 and 1.2.

    Singular values below a few hundredths of the norm of `matrix` stay smaller. ITERATIONS steps of
    an iteration after Newton and Schulz, which needs products only.

    Args:
      matrix: float32 [rows, columns].

    Returns:
      float32 [rows, columns].
    """
    tall = matrix.shape[0] >= matrix.shape[1]
    a, b, c = COEFFICIENTS
    x = matrix / (tf.norm(matrix) + 1e-7)
    for _ in range(ITERATIONS):
        # The smaller of the two square matrices.
        squares = tf.matmul(x, x, transpose_a=tall, transpose_b=not tall)
        change = b * squares + c * squares @ squares
        x = a * x + (x @ change if tall else change @ x)
    return x
