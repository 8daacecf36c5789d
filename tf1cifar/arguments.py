"""The parser of the scripts' command lines.

    ArgumentParser  argparse whose complaints are one line, with the likeliest right word
    bounded         an argparse type: a whole number within limits
"""

import argparse
import difflib
import os
import re
import shlex
import sys

from tf1cifar.errors import UserError


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps paragraphs as argparse does, but keeps the lines of a text that has several."""

    def _fill_text(self, text, width, indent):
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that raises a `UserError` where argparse would exit."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **options)

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args(self.words(args), namespace)

    def parse_known_intermixed_args(self, args=None, namespace=None):
        return super().parse_known_intermixed_args(self.words(args), namespace)

    def words(self, args):
        """The words of a command line: the process's, those of a list with numbers or of a str."""
        if isinstance(args, str):
            try:  # \ is a part of Windows' paths, elsewhere it protects a space
                args = shlex.split(args.replace("\\", r"\\") if os.name == "nt" else args)
            except ValueError as error:
                self.error(f"{args!r}: {str(error).lower()}")
        args = [str(word) for word in (sys.argv[1:] if args is None else args)]
        for before, argument in zip(["", *args], args):
            if re.fullmatch(r"(--[\w-]+=)?", argument):
                # An empty value would count as not given, or as the current folder.
                self.error(f"{argument.rstrip('=') or before or 'an argument'}: expected a value, "
                           "found nothing ('')")
        return args

    def error(self, message):
        if unknown := re.match(r"unrecognized arguments: (--?[\w-]+)", message):
            message += _did_you_mean(unknown[1], self._option_string_actions)
        raise UserError(message + (" See --help" if message[-1] == "?" else "; see --help"))

    def _check_value(self, action, value):
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += _did_you_mean(value, action.choices)
            raise


def _did_you_mean(word, known):
    """'; did you mean X?' with the words of `known` that are like `word`; '' if there are none."""
    known = {str(name).lstrip("-").lower(): str(name) for name in known}
    word = str(word).lstrip("-").lower()
    # Some options have well-known initials: --lr is --learning-rate.
    close = [name for name in known if "".join(part[:1] for part in name.split("-")) == word][:1]
    close = close or difflib.get_close_matches(word, known, 2)
    return f"; did you mean {' or '.join(known[name] for name in close)}?" if close else ""


def bounded(lowest, highest):
    """An argparse `type` for whole numbers from `lowest` to `highest`."""
    def whole_number(text):
        value = int(text)  # argparse turns a ValueError into "invalid whole_number value"
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{value}, expected {lowest} to {highest}")
        return value
    return whole_number
