"""A trained run in the formats of other programs; `export_model.py` is the command line."""

# Name of a form -> its file or folder in an export.
FORMS = {"saved_model": "saved_model", "tflite": "model.tflite", "tflite-int8": "model-int8.tflite",
         "pb": "model.pb", "npz": "weights.npz", "onnx": "model.onnx", "html": "index.html"}
OTHERS = ("labels.txt", "check.npz", "README.md")  # files of every export
