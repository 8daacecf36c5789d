"""report.html: a run on one page.

    fetches   what the page needs of the forward pass over the test images
    build     the page of a run and its test
    findings  what the numbers of a test say, in sentences
"""

import dataclasses

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import assessment, console, drawing, graph, html_page, machine, recipes
from tf1cifar.training import inspection, pictures, sources

CONFUSIONS = 10     # pairs of classes in the table
MOST_CLASSES = 100  # classes in the table
DECISIONS = 3       # mistakes, and as many hits, whose deciding pixels are drawn
LAYERS = 2          # convolutions whose filters, images and channels are drawn: first and last
TOO_SURE = 0.05     # expected calibration error from which a finding says so
VECTORS = ("confusion_matrix", "reliability")  # drawn as lines and texts


def fetches():
    """The tensors that `build` needs of each test image, for `evaluation.evaluate`."""
    return [inspection.peaks(activation) for activation in _some(inspection.layers()).values()]


def _some(layers):
    """The first layer and the last one; all where there are few."""
    names = list(layers)
    names = names if len(names) <= LAYERS else [names[0], names[-1]]
    return {name: layers[name] for name in names}


def build(session, folder, dataset, prepare, result, path, note=""):
    """The page of a run.

    Args:
      session: a session of `restore.restored` with the graph that was built, not imported.
      folder: the `run_folder.RunFolder`.
      dataset: a `base.Dataset`, whose test images were evaluated.
      prepare: function of uint8 images -> float32 pixels.
      result: the `Evaluation` with the values of `fetches`.
      path: path of the restored checkpoint.
      note: a sentence that a reader must know before the figures, or ''.

    Returns:
      HTML, a str.
    """
    name, recipe, description = folder.read_description()
    rows, labels = folder.read_metrics(), dataset.test.labels
    calibration = assessment.calibration(result.probabilities, labels)
    counts = assessment.confusion(labels, result.predictions, len(dataset.class_names))
    jobs = _jobs(session, folder, dataset, prepare, result, rows)
    with console.progress(len(jobs), "drawing") as bar:
        parts = {}
        for number, (section, job) in enumerate(jobs):
            parts.setdefault(section, []).extend(job())
            bar.update(number + 1)
    step = int(session.run("global_step:0"))
    epochs = rows[-1]["epoch"] if rows else 0
    head = "".join((
        html_page.paragraph(note) if note else "",
        html_page.paragraph(f"{result.line().capitalize()} on {console.cut(dataset.name)}",
                            "result"),
        html_page.numbers([
            ("test accuracy", f"{result.accuracy:.1%}"), ("test loss", f"{result.loss:.3f}"),
            ("expected calibration error", f"{calibration.error:.3f}"),
            ("parameters", f"{graph.parameters():,}"),
            ("trained", f"{epochs:.4g} epoch{'s' * (epochs != 1)}" if rows else f"{step} steps"),
            ("tested weights", f"step {step:,}")]),
        *map(html_page.paragraph, findings(result.accuracy, calibration, counts,
                                           dataset.class_names)),
        _recipe_table(name, recipe)))
    sections = [
        ("training", "Training", "".join(parts.get("training", [])) or html_page.paragraph(
            "No epoch is recorded.")),
        ("classes", "Classes", "".join(parts["classes"]) + _class_tables(counts, dataset)),
        ("mistakes", "Hits and mistakes", "".join(parts.get("mistakes", []))),
        ("reliability", "Reliability", "".join(parts["reliability"]) + _bins(calibration)),
        ("filters", "Filters", "".join(parts.get("filters", [])) or html_page.paragraph(
            "The network has neither convolutions nor weights of single pixels.")),
        ("layers", "What the network looks at", "".join(parts["layers"])),
        ("system", "System and time", _system(folder, description, result)),
        ("reproduce", "How to reproduce", _reproduce(folder, name, recipe, description, path))]
    return html_page.page(f"{console.cut(name, 80)} on {description['name']}", head, sections)


# ---------------------------------------------------------------------------------------
# Figures


def _jobs(session, folder, dataset, prepare, result, rows):
    """List of (section, function that returns a list of HTML), the slow parts of the page."""
    images, labels = dataset.test
    hits = np.flatnonzero(result.predictions == labels)
    sure = hits[np.argsort(-result.probabilities[hits].max(1), kind="stable")][:DECISIONS]
    mistakes = assessment.surest_mistakes(result.probabilities, labels)[:DECISIONS]
    shown = np.concatenate([mistakes, sure]).astype(int)
    shape = pictures.pixel_shape()

    def html(picture):
        return html_page.figure(picture.heading, picture.words, picture.draw(""),
                          picture.file in VECTORS)

    jobs = []
    if rows:
        jobs += [("training", lambda: [html_page.figure(
            "Error and loss", "Every epoch makes one point. Training figures are means over the "
            "epoch, while the network learns.", drawing.learning_curve(rows, ""), True)]),
            ("training", lambda: [html_page.figure(
                "Learning rate", "The factor of the steps that change the weights.",
                drawing.learning_rates(rows, ""), True)])]
    for picture in pictures.of_test(dataset, result.probabilities):
        section = {"confusion_matrix": "classes", "reliability": "reliability"}.get(
            picture.file, "mistakes")
        jobs.append((section, lambda picture=picture: [html(picture)]))
    weights = pictures.of_weights(session, folder, shape, dataset.class_names)
    jobs += [("filters", lambda picture=picture: [html(picture)])
             for picture in _some({picture.file: picture for picture in weights}).values()]
    if inspection.layers():
        example = int(sure[0]) if len(sure) else 0
        words = f"test image {example}, {dataset.class_names[labels[example]]}"
        jobs.append(("layers", lambda: [html_page.figure(
            f"The input: {words}", "Left the image, right the pixels that the network gets.",
            drawing.network_input(images[example], prepare(images[example:example + 1])[0], ""))]))
        jobs.append(("layers", lambda: [html(picture) for picture in pictures.of_layers(
            session, prepare(images[example:example + 1]), _some(inspection.layers()))]))
        jobs.append(("layers", lambda: [html(picture) for picture in pictures.of_peaks(
            session, _some(inspection.layers()), result.fetched, dataset, prepare)]))
    jobs.append(("layers", lambda: [html(pictures.of_decision(
        session, images[shown], [dataset.class_names[number] for number in labels[shown]],
        dataset.class_names, prepare))]))
    return jobs


# ---------------------------------------------------------------------------------------
# Numbers


def findings(accuracy, calibration, counts, class_names):
    """What the numbers of a test say.

    Args:
      accuracy: share of the test images that is predicted rightly.
      calibration: an `assessment.Calibration`.
      counts: int [classes, classes], labels by predictions.
      class_names: list of str.

    Returns:
      A list of sentences.
    """
    names = [console.cut(name) for name in class_names]
    found = []
    for label, prediction, number, share in assessment.confusions(counts):
        if number <= counts[label, label]:
            continue
        back = counts[prediction, label] > counts[prediction, prediction]
        if back and prediction < label:
            continue  # told of the other class
        one, other = names[label], names[prediction]
        found.append(
            f"{one} and {other} seem to be exchanged: {share:.0%} of the images of {one} are taken "
            f"for {other}, and {counts[prediction, label] / counts[prediction].sum():.0%} the "
            "other way round." if back else
            f"More images of {one} are taken for {other} ({share:.0%}) than are predicted rightly "
            f"({counts[label, label] / counts[label].sum():.0%}).")
    found = found[:3]
    if not found and (pairs := assessment.confusions(counts)):
        label, prediction, _, share = pairs[0]
        found.append(f"The commonest mistake: {share:.0%} of the images of {names[label]} are "
                     f"taken for {names[prediction]}.")
    gap = calibration.probability - accuracy
    if calibration.error < TOO_SURE:
        found.append("The probabilities can be believed: they are off by "
                     f"{calibration.error:.3f} on average.")
    else:
        side = "too sure of itself" if gap > 0 else "right more often than it says"
        found.append(f"The network is {side}: its mean probability is "
                     f"{calibration.probability:.3f}, its accuracy {accuracy:.3f}; the expected "
                     f"calibration error is {calibration.error:.3f}.")
    return found


def _class_tables(counts, dataset):
    names = [console.cut(name, 60) for name in dataset.class_names]
    totals, predicted, right = counts.sum(1), counts.sum(0), counts.diagonal()
    shares = right / np.maximum(totals, 1)
    order = np.argsort(shares, kind="stable")[:MOST_CLASSES]
    pairs = assessment.confusions(counts)[:CONFUSIONS]
    return (html_page.table(
        "What is taken for what", ["images of", "are taken for", "images", "share"],
        [[names[label], names[prediction], f"{number:,}", f"{share:.1%}"]
         for label, prediction, number, share in pairs], (2, 3))
        + html_page.table(
            "Every class, the worst first" + (f" ({MOST_CLASSES} of {len(names):,})"
                                              if len(names) > MOST_CLASSES else ""),
            ["class", "right", "images", "accuracy", "right of those predicted"],
            [[names[number], f"{right[number]:,}", f"{totals[number]:,}",
              f"{shares[number]:.1%}" if totals[number] else "-",
              f"{right[number] / predicted[number]:.1%}" if predicted[number] else "-"]
             for number in order], (1, 2, 3, 4)))


def _bins(calibration):
    bins = len(calibration.counts)
    return html_page.table(
        f"Expected calibration error {calibration.error:.4f}: the mean distance between "
        "probability and share that is right",
        ["probability", "predictions", "mean probability", "right"],
        [[f"{number / bins:.1f} to {(number + 1) / bins:.1f}", f"{count:,}",
          f"{calibration.probabilities[number]:.3f}" if count else "-",
          f"{calibration.accuracies[number]:.3f}" if count else "-"]
         for number, count in enumerate(calibration.counts)], (1, 2, 3))


# ---------------------------------------------------------------------------------------
# Settings, system and commands


def _recipe_table(name, recipe):
    """The recipe's settings; those that differ from the recipe of this name are emphasized."""
    own = recipes.RECIPES.get(name)
    known = recipes.NETWORKS.get(recipe.network, ())
    rows = []
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        of_networks = any(field.name in names for names in recipes.NETWORKS.values())
        if field.metadata["group"] == recipes.REPORTS or of_networks and field.name not in known:
            continue
        text = ", ".join(value) or "none" if field.type is tuple else f"{value}"
        differs = own is not None and getattr(own, field.name) not in (value, "auto")
        rows.append((field.name.replace("_", " "), [text] if differs else text))
    return html_page.settings(f"The recipe {console.cut(name)}; a setting that this run changed "
                              "is underlined", rows)


def _system(folder, description, result):
    versions, changes = folder.read_versions()
    rows = [["data", f"{description['name']}: {description['training_images']:,} training, "
             f"{description.get('held_out_images', 0):,} held-out, "
             f"{len(result.predictions):,} test images"],
            ["images", "x".join(map(str, description["image_shape"]))],
            ["checksum of the data", console.cut(description["crc32"])]]
    rows += [[console.cut(name).replace("_", " "), value] for name, value in versions.items()]
    rows += [[f"from step {change['step']:,} on", f"{console.cut(change['what'])}: "
              f"{console.cut(change['now'])}, before {console.cut(change['before'])}"]
             for change in changes]
    return html_page.settings("Training", rows) + html_page.settings(
        "This test", [["TensorFlow", tf.__version__], ["processor", machine.describe()], [
            "time", f"{result.seconds:.1f} s, "
            f"{len(result.predictions) / max(result.seconds, 1e-9):,.0f} images/s"]])


def _reproduce(folder, name, recipe, description, path):
    words = ["cnn_train.py", *recipes.options(name, recipe)]
    if description["name"] == "folders":
        words += ["--data-dir", description["directory"]]
    if began := sources.record(folder):
        words += sources.options(began)
    return "".join((
        html_page.paragraph("This trains the same network on the same data again:"),
        html_page.commands(machine.command(*words)),
        html_page.paragraph("These test it, write this page, and draw its pictures one by one:"),
        html_page.commands(machine.command("restore_model.py", folder.path),
                           machine.command("conv_visuals.py", "--run", folder.path)),
        html_page.paragraph(f"The tested weights are in {console.cut(path, 500)}. Other "
                            "processors and versions give other last digits.")))
