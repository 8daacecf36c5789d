"""The model card of an export: where the network comes from, how good it is, how it is used."""

import json

from tf1cifar import console, recipes
from tf1cifar.data import TITLES
from tf1cifar.export import FORMS, clients

CARD = """# {name} trained on {title}

A network that tells {number} classes of pictures apart: {classes}.

| | |
| --- | --- |
| network | `{network}`, {parameters:,} numbers |
| trained | {step:,} steps, from {training_images:,} images; {held_out_images:,} more chose the \
checkpoint |
| data | {title}, crc32 `{crc32}` |
| input | {height}x{width} pixels, {colours}, uint8; the preparation `{preparation}` is inside |
| output | `logits` and `probabilities`, float32, a number for each line of `labels.txt` |
| accuracy | {accuracy:.4f} on {test_images:,} test images, computed in float32 |
{trained}
## Forms

Each form was run by the program that it is for, in a process without the project's code, and \
compared with the session that restored the checkpoint. "Difference" is the largest of a \
probability, "logits" that of a logit in units of the usual largest logit.

| form | MB | run by | test images | accuracy | same class | difference | logits | ms a picture |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{table}
{left_out}
`labels.txt` has the class names. `check.npz` has `images`, uint8, and `probabilities`: the \
session's answers to the first {checked} test images. Compare your own program with them.

`saved_model/{step_folder}` has two signatures. `serving_default` takes `images`, uint8 [batch, \
any height, any width, {channels}], and resizes the central part. `image_bytes` takes \
`image_bytes`, the contents of PNG and JPEG files. Both give `classes` too, the names of the \
likeliest classes. All other forms take `images`, uint8 [batch, {height}, {width}, {channels}]; \
the TFLite models take one picture at a time.

## What differs

- `index.html` and programs with `ImageOps.exif_transpose` turn a photo as its camera recorded \
(EXIF). `image_bytes` does not.
- `image_bytes` reads PNG and JPEG only, and one damaged picture fails its whole batch.
- JPEG decoders round differently, so a probability may differ by some hundredths between two.
- The network knows its classes only. Anything else gets the likeliest of them.

## Programs

They classify `photo.png`, in the folder of this file.
{programs}
## Recipe

```json
{recipe}
```
"""


def text(run, measured, sizes, left_out, result, versions, checked):
    """The card in Markdown.

    Args:
      run: an `inference.Run`.
      measured: dictionary, a key of `FORMS` -> list of `comparison.Measured`.
      sizes: dictionary, a key of `FORMS` -> bytes.
      left_out: lines about forms that are not there.
      result: the dictionary of `RunFolder.read_result`, or None.
      versions: the dictionary of `RunFolder.read_versions`.
      checked: number of images in check.npz.
    """
    description, (height, width, channels) = run.description, run.image_shape
    programs = [f"\n**{title}**\n\n```python\n{clients.filled(program, run)}```\n"
                for form, title, program in clients.CLIENTS if form in measured]
    if "html" in measured:
        programs.append("\n**A browser**: open `index.html` and drop photos on it.\n")
    trained = []
    if result and run.step == result["checkpoint_step"]:
        trained.append(f"| in training | {result['test_accuracy']:.4f}, in "
                       f"{run.recipe.precision} |")
    trained += [f"| {name} | {value} |" for name, value in versions.items()]
    return CARD.format(
        name=run.name, title=TITLES[description["name"]], number=len(run.class_names),
        classes=console.cut(", ".join(run.class_names), 500), network=run.recipe.network,
        parameters=sum(array.size for array in run.weights.values()), step=run.step,
        training_images=description["training_images"],
        held_out_images=description.get("held_out_images", 0), crc32=description["crc32"],
        height=height, width=width, channels=channels,
        colours="gray" if channels == 1 else "red, green, blue",
        preparation=run.recipe.preparation, accuracy=float(
            (run.logits.argmax(1) == run.labels).mean()), test_images=len(run.labels),
        trained="".join(f"{line}\n" for line in trained), table="\n".join(table(measured, sizes)),
        left_out="".join(f"\nLeft out: {console.cut(line, 500)}.\n" for line in left_out),
        checked=checked, step_folder=run.step, programs="".join(programs),
        recipe=json.dumps(recipes.to_dict(run.recipe), indent=2))


def table(measured, sizes):
    """The lines of the table of forms."""
    for form, rows in measured.items():
        first = f"| `{FORMS[form]}` | {sizes[form] / 1e6:.2f} |"
        if form == "npz":
            yield f"{first} NumPy | | equal to the bit | | | | |"
        elif not rows:
            yield f"{first} nothing on the machine that wrote it | | not measured | | | | |"
        for one in rows:
            yield (f"{first} {one.consumer} | {one.images:,} | {one.accuracy:.4f} | "
                   f"{one.same:.2%} | {one.difference:.1e} | {one.relative:.1e} | "
                   f"{one.milliseconds:.2f} |")
