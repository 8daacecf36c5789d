"""arguments.py: the parser of the scripts' command lines."""

import os

import pytest

import cnn_train
import conv_visuals
import restore_model
from tf1cifar import arguments, errors


@pytest.mark.parametrize("text", ["0", "5", "x", "1.5"])
def test_bounded_names_value_and_limits(text):
    parser = arguments.ArgumentParser()
    parser.add_argument("--n", type=arguments.bounded(1, 4))
    assert parser.parse_args(["--n", "4"]).n == 4
    with pytest.raises(errors.UserError, match=f"{text}") as caught:
        parser.parse_args(["--n", text])
    assert text in ("x", "1.5") or f"{text}, expected 1 to 4" in str(caught.value)


@pytest.mark.parametrize("line, words", [
    ("--batchsize 3", "did you mean --batch-size? See --help"),
    ("--epoch=3", "did you mean --epochs? See --help"),
    ("--lr 3", "did you mean --learning-rate? See --help"),
    ("-lr 3", "did you mean --learning-rate? See --help"),
    ("--Batch-Size 3", "did you mean --batch-size? See --help"),
    ("--via savedmodel", "did you mean saved_model? See --help"),
    ("--via SAVER", "did you mean saver"),
    ("--via x", "'saved_model'"), ("--nonsense", "--nonsense; see --help"),
    ("x", "unrecognized arguments: x; see --help")])
def test_argument_parser_names_what_may_have_been_meant(line, words):
    parser = arguments.ArgumentParser()
    for option in ("--epochs", "--batch-size", "--learning-rate"):
        parser.add_argument(option)
    parser.add_argument("--via", choices=("saver", "saved_model"))
    with pytest.raises(errors.UserError) as caught:
        parser.parse_args(line.split())
    assert words in str(caught.value).replace("choose from saver, saved_model", "'saved_model'")
    assert ("did you mean" in str(caught.value)) == ("did you mean" in words)


@pytest.mark.parametrize("line", [
    "--run-dir 'my runs' 3", ["--run-dir", "my runs", 3], ("--run-dir=my runs", "3")])
@pytest.mark.parametrize("parse", ["parse_args", "parse_intermixed_args"])
def test_argument_parser_takes_a_line_or_a_list_with_numbers(line, parse):
    parser = arguments.ArgumentParser()
    parser.add_argument("--run-dir")
    parser.add_argument("number", type=int)
    options = getattr(parser, parse)(line)
    assert (options.run_dir, options.number) == ("my runs", 3)
    with pytest.raises(errors.UserError, match="no closing quotation; see --help"):
        getattr(parser, parse)("--run-dir 'my runs 3")
    with pytest.raises(errors.UserError, match="--run-dir: expected a value, found nothing"):
        getattr(parser, parse)("--run-dir '' 3")


def test_argument_parser_keeps_the_backslashes_of_windows(monkeypatch):
    parser = arguments.ArgumentParser()
    parser.add_argument("--data-dir")
    monkeypatch.setattr(os, "name", "nt")
    assert parser.parse_args(r'--data-dir "C:\my data\new"').data_dir == r"C:\my data\new"
    monkeypatch.setattr(os, "name", "posix")
    assert parser.parse_args(r"--data-dir my\ data").data_dir == "my data"


@pytest.mark.parametrize("script, line", [
    (cnn_train, "--nonsense 3"), (restore_model, "run --nonsense 3"),
    (conv_visuals, "--nonsense 3")])
def test_main_of_every_script_takes_a_line(script, line):
    for arguments_ in (line, [*line.split()[:-1], 3]):
        with pytest.raises(errors.UserError, match="unrecognized arguments: --nonsense"):
            script.main(arguments_)
