"""A trained run in other programs' formats; `export_model.py` is the command line."""
