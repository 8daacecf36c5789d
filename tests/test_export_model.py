"""The command line of export_model.py; the forms themselves are in tests/export/."""

import os

import pytest
from support.small_data import write_mnist

import export_model
from tf1cifar import errors
from tf1cifar.export import FORMS, OTHERS, writing


def test_parse_arguments_defaults_to_a_folder_in_the_run():
    options = export_model.parse_arguments(["runs/x"])
    assert str(options.to) == os.path.join("runs", "x", "export") and options.format == []


@pytest.mark.parametrize("words, message", [
    (["runs/x", "--format", "keras"], "invalid choice: 'keras'"),
    (["runs/x", "--format", "savedmodel"], "did you mean saved_model?"), ([], "RUN")])
def test_parse_arguments_refuses(words, message):
    with pytest.raises(errors.UserError) as caught:
        export_model.parse_arguments(words)
    assert message in str(caught.value)


def test_forms_have_writers_and_consumers():
    from tf1cifar.export import comparison
    assert list(writing.WRITERS) == list(FORMS) and set(comparison.CONSUMERS) == set(FORMS)
    assert {name for names in comparison.CONSUMERS.values() for name in names} == set(
        comparison.TITLES)


def test_require_export_folder(tmp_path):
    export_model.require_export_folder(tmp_path / "new")
    for name in (*FORMS.values(), *OTHERS):
        (tmp_path / name).touch()
    export_model.require_export_folder(tmp_path)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(errors.UserError, match="letter.txt, which is no file of an export"):
        export_model.require_export_folder(tmp_path)
    with pytest.raises(errors.UserError, match="is not a folder"):
        export_model.require_export_folder(tmp_path / "letter.txt")


def test_script_exports_a_run_and_names_a_missing_one(forks, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    write_mnist(tmp_path / "mnist")
    result = forks.run("cnn_train.py", ["--recipe", "hinge", "--dataset", "mnist", "--data-dir",
                                        tmp_path / "mnist", "--epochs", 2, "--run-dir", "run"],
                       tmp_path, environment)
    assert result.returncode == 0, result.stderr
    result = forks.run("export_model.py", ["run", "--format", "npz"], tmp_path, environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1:] == [
        "weights.npz: equal to the bit",
        "run/export holds README.md, check.npz, labels.txt, weights.npz"]
    result = forks.run("export_model.py", ["nothing"], tmp_path, environment)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
