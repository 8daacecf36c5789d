"""Run folders without a training, for tests of what reads them."""

import dataclasses

from tf1cifar import recipes
from tf1cifar.training.run_folder import METRICS, RunFolder

TRAINING_IMAGES, TEST_IMAGES = 1000, 200


def write_run(path, errors=(0.6, 0.5, 0.4), correct=120, seconds=2.0, crc32="0123abcd", **settings):
    """Write the files of a run of three epochs.

    Args:
      path: folder.
      errors: held-out error of each epoch so far.
      correct: right predictions of TEST_IMAGES test images; None for a run without result.
      seconds: of an epoch; None for a run of an older version, without times.csv and parameters.
      crc32: checksum of the data.
      settings: fields of the recipe.

    Returns:
      A `RunFolder`.
    """
    recipe = dataclasses.replace(recipes.RECIPES["lrn_cnn"],
                                 **{"epochs": 3, "batch_size": 100, **settings})
    folder = RunFolder(path)
    folder.path.mkdir(parents=True)
    folder.write_description("lrn_cnn", recipe, {
        "name": recipe.dataset, "directory": "/data", "class_names": list("abcdefghij"),
        "image_shape": [32, 32, 3], "training_images": TRAINING_IMAGES, "held_out_images": 100,
        "test_images": TEST_IMAGES, "crc32": crc32}, {"processor": "a processor", "device": "CPU"})
    steps = recipe.steps_per_epoch(TRAINING_IMAGES)
    rows = [{**dict.fromkeys(METRICS), "epoch": float(number), "step": number * steps,
             "learning_rate": 0.1, "training_loss": 3 * error, "training_accuracy": 1 - error / 2,
             "held_out_accuracy": 1 - error} for number, error in enumerate(errors, 1)]
    if rows:
        folder.write_metrics(rows)
    if rows and seconds:
        folder.write_times([{"step": row["step"], "images": TRAINING_IMAGES, "seconds": seconds}
                            for row in rows])
    if correct is not None:
        result = {"trained_steps": rows[-1]["step"], "early_stopping": 0, "checkpoint": "best-10",
                  "checkpoint_step": 10, "test_accuracy": correct / TEST_IMAGES,
                  "test_correct": correct, "test_images": TEST_IMAGES}
        folder.write_result({**result, "parameters": 2_474_698} if seconds else result)
    return folder
