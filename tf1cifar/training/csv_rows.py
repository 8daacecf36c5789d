"""CSV files of numbers, which a stranger may have written."""

import csv
import io

from tf1cifar import errors, files


def read(path, columns, required):
    """The rows of a CSV file as dictionaries of numbers, see `cell_value`; [] without the file.

    Args:
      path: a `pathlib.Path`.
      columns: list of str, the file's columns.
      required: the columns that must not be empty.

    Raises:
      errors.UserError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(files.read_text(path), newline="")))
        if any(list(row) != columns for row in rows):
            raise ValueError(f"its columns are not {', '.join(columns)}")
        rows = [{name: cell_value(value) for name, value in row.items()} for row in rows]
        if any(row[name] is None for row in rows for name in required):
            raise ValueError("a figure is missing")
    except (ValueError, OverflowError, csv.Error) as error:
        raise errors.UserError(f"{path}: damaged; {error}") from error
    return rows


def write(path, columns, rows):
    """Replace a CSV file by `rows`, dictionaries with the keys `columns`."""
    with files.replacing(path, newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)


def cell_value(text):
    """The content of a cell of a CSV file: an int, a float, or None when it is empty."""
    if not text:
        return None
    value = int(text) if text.isdecimal() else float(text)
    float(value)  # raises OverflowError for numbers that nobody can plot
    return value
