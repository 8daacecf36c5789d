"""The filters that whiten the patches of the training images.

    filters  the principal components of the patches, each divided by its standard deviation

K. Jordan, *94 % on CIFAR-10 in 3.29 Seconds on a Single GPU*, 2024, section 3.2.
"""

import numpy as np

IMAGES = 2500  # number of training images whose patches are enough
SMALLEST_VARIANCE = 1e-12  # for images of one colour
ADDED_VARIANCE = 5e-4  # of a pixel's mean variance; it keeps rare components from being blown up


def filters(images, shape):
    """The filters of a whitening convolution.

    Args:
      images: float32 [N, height, width, channels], prepared; IMAGES of them are enough.
      shape: (size, size, channels, 2 * components) of the filters.

    Returns:
      float32 array of that shape: the components of the largest variance first, then their
      negatives.
    """
    size, _, channels, outputs = shape
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    patches = windows[:, ::2, ::2].transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * channels)
    patches = patches.astype(np.float64)
    variances, components = np.linalg.eigh(patches.T @ patches / len(patches))
    largest = np.argsort(variances)[::-1][:outputs // 2]
    components = components[:, largest] / np.sqrt(
        variances[largest] + max(ADDED_VARIANCE * variances.mean(), SMALLEST_VARIANCE))
    # An eigenvector has no sign of its own.
    components *= np.sign(components[abs(components).argmax(0), range(len(largest))])
    return np.concatenate([components, -components], 1).reshape(shape).astype(np.float32)
