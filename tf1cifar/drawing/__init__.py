"""Every figure of this project: arrays and a title in, a matplotlib `Figure` out.

    weights   filters before and after training, weights of classes, channels of activations
    images    images of every class, the input of a network, predictions for pictures
    mistakes  mistakes and narrow hits, images that excite a filter, pixels that decide
    results   confusion matrix, reliability, learning curve
    mosaics   the layout of many small images

Each function that returns a figure draws into a new one, or into the empty figure that is given as
`figure`, such as the figure of a window. The first line of a title is a heading. Every figure can
be read in black and white: its scales grow from dark to light or from light to dark.
"""

from matplotlib.figure import Figure

from tf1cifar.drawing.images import (
    class_probabilities,
    examples,
    network_input,
    predictions,
    visible,
)
from tf1cifar.drawing.mistakes import deciding_pixels, gallery, prediction_lines
from tf1cifar.drawing.mosaics import colour_scale, columns_for, enlarge, gap_for, mosaic
from tf1cifar.drawing.results import (
    confusion_matrix,
    learning_curve,
    learning_rates,
    log_ticks,
    reliability,
)
from tf1cifar.drawing.weights import (
    before_and_after,
    by_norm,
    channels,
    class_weights,
    filters,
    neighbour_correlation,
    strongest,
)

__all__ = [
    "Figure", "before_and_after", "by_norm", "channels", "class_probabilities", "class_weights",
    "colour_scale", "columns_for", "confusion_matrix", "deciding_pixels", "enlarge", "examples",
    "filters", "gallery", "gap_for", "learning_curve", "learning_rates", "log_ticks", "mosaic",
    "neighbour_correlation", "network_input", "prediction_lines", "predictions", "reliability",
    "strongest", "visible"]
