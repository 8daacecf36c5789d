"""The checkpoints of a run: save, best, restore, tidy.

    model.ckpt-STEP  a checkpoint of every epoch, of which the last few are kept
    best-STEP        the weights with the best held-out accuracy so far

A checkpoint has three files. Its .index is written last and removed first, so a checkpoint is
complete as soon as its .index is there beside the others. TensorFlow's files `checkpoint` and
`best_checkpoint`, which `tf.train.latest_checkpoint` reads, name them without their folder, so a
run can be moved.

TensorFlow, which takes seconds to load, is imported by the methods that take a session.
"""

import pathlib
import re
import sys

from tf1cifar import errors, files, locks
from tf1cifar.plain_paths import plain

LATEST, BEST = "model.ckpt", "best"  # the two kinds
STATE_FILES = {LATEST: "checkpoint", BEST: "best_checkpoint"}
MAX_STATE = 2 ** 16  # bytes of a state file; one of 300 checkpoints is smaller
# The names of files that older versions of this project, which had no scratch folders, had not
# finished when a process died.
UNFINISHED = (r"\.?(best_)?checkpoint\.(part|tmp[0-9a-f]{32})",
              r"\.(model\.ckpt|best)-\d+\.(index|meta|data-00000-of-00001)\.part",
              r"(model\.ckpt|best)-\d+\.(index|data-00000-of-00001)\.tempstate\d+")
WEIGHTS = (".index", ".data-00000-of-00001")
SUFFIXES = (*WEIGHTS, ".meta")

# Variables' names in runs without a precision in recipe.json: now -> then; see `former_name` too.
FORMER_NAMES = {
    "training/global_step": "global_step",
    "training_1/beta1_power": "training/beta1_power",
    "training_1/beta2_power": "training/beta2_power",
    "epoch/loss": "epoch/loss_sum",
    "epoch/hits": "epoch/hits_sum",
}


class Checkpoints:
    """The checkpoints in a folder, which need not exist.

    Args:
      folder: a `pathlib.Path`.
      max_to_keep: number of checkpoints to keep beside the best one.
    """

    def __init__(self, folder, max_to_keep=5):
        self.folder, self.max_to_keep = folder, max_to_keep
        self._saver = self._meta_graph = None

    # -----------------------------------------------------------------------------------
    # Without a session

    def saved(self, kind=LATEST):
        """The complete checkpoints of a kind, the latest last.

        Returns:
          A list of (step, path as `tf.train.Saver.restore` takes it).
        """
        found = []
        for index in self.folder.iterdir() if self.folder.is_dir() else ():
            step = re.fullmatch(rf"{re.escape(kind)}-(\d+)\.index", index.name)
            if step and all(index.with_suffix(suffix).exists() for suffix in SUFFIXES):
                found.append((int(step[1]), str(index.with_suffix(""))))
        return sorted(found)

    def has_files(self):
        """Whether any file of a checkpoint is there, be the checkpoint complete or not."""
        return self.folder.exists() and any(self.folder.iterdir())

    def find(self, name):
        """The path of a checkpoint, as `tf.train.Saver.restore` takes it.

        Args:
          name: 'best', 'latest', the name of a checkpoint in the folder, or the path of any
            checkpoint, which may be the path of one of its files.

        Raises:
          errors.UserError: there is no such checkpoint.
        """
        if name in ("best", "latest"):
            saved = self.saved(BEST if name == "best" else LATEST)
            if saved:
                return saved[-1][1]
            self._refuse_incomplete(self.folder)
            raise errors.UserError(f"{self.folder}: no {name} checkpoint; train longer")
        found = prefix(files.expanded(name))
        for path in (pathlib.Path(found), self.folder / found):
            if path.with_name(path.name + ".index").exists():
                return str(path)
            self._refuse_incomplete(path.parent, re.escape(path.name))
        known = [pathlib.Path(path).name for _, path in self.saved(BEST) + self.saved()]
        raise errors.UserError(f"--checkpoint {name}: no such checkpoint; expected best, "
                               f"latest, a path, or one of {', '.join(known)}")

    @staticmethod
    def _refuse_incomplete(folder, prefix=".+"):
        """Raise an `errors.UserError` if some files of a checkpoint are there, and not all."""
        for path in sorted(folder.glob("*")):
            name = re.fullmatch(rf"({prefix})\.(index|meta|data-\d+-of-\d+)", path.name)
            missing = [name[1] + suffix for suffix in SUFFIXES if name and
                       not path.with_name(name[1] + suffix).exists()]
            if missing:
                raise errors.UserError(f"{path} is there without {' and '.join(missing)}; copy all "
                                       "files of the checkpoint")

    def final(self, measured=None):
        """The path of the checkpoint that represents the run.

        Args:
          measured: name of the checkpoint on which the final accuracy was measured. Without it,
            or if that checkpoint is gone, the best one represents the run, else the latest.

        Raises:
          errors.UserError: there is no checkpoint.
        """
        saved = [path for _, path in self.saved() + self.saved(BEST)]
        if not saved:
            self._refuse_incomplete(self.folder)
            raise errors.UserError(f"{self.folder}: no checkpoint yet; train longer")
        return next((path for path in saved if pathlib.Path(path).name == measured), saved[-1])

    def tidy(self):
        """Remove the files of half-written and half-removed checkpoints, by their exact names.

        Folders in the state files, which older runs have, are removed from them: the run may have
        been moved. A folder that is a link may be another run's, and is left as it is.
        """
        if self.folder.is_symlink():
            return
        locks.remove_scratch(self.folder)
        for state in map(self.folder.joinpath, STATE_FILES.values()):
            if state.is_file():
                with open(state, "rb") as source:
                    text = source.read(MAX_STATE)
                mended = re.sub(rb'"[^\n]*[/\\]', b'"', text)
                if mended != text and len(text) < MAX_STATE:
                    with files.replacing(state, "wb") as out:
                        out.write(mended)
        items = list(self.folder.iterdir()) if self.folder.is_dir() else []
        for item in items:
            if any(re.fullmatch(name, item.name) for name in UNFINISHED):
                files.remove(item)
        for kind in (LATEST, BEST):
            complete = {step for step, _ in self.saved(kind)}
            latest = max(complete, default=-1)
            for item in items:
                name = re.fullmatch(rf"({re.escape(kind)}-(\d+))(\..+)", item.name)
                if not name or name[3] not in SUFFIXES or int(name[2]) in complete:
                    continue
                step, suffix = int(name[2]), name[3]
                # Weights without .meta are half deleted if a later complete checkpoint exists.
                keep = step > latest and all(
                    (self.folder / (name[1] + part)).exists() for part in WEIGHTS)
                # The .index file is written last, so an .index without the others means lost
                # files, unless a later checkpoint shows that this one was being deleted.
                if suffix == ".index" and step > latest:
                    print(f"{item}: other files of this checkpoint are missing; it is not used",
                          file=sys.stderr)
                if not keep:
                    files.remove(item)

    # -----------------------------------------------------------------------------------
    # With a session on the default graph

    def attach(self):
        """Make the savers of the default graph, which must be complete.

        Every checkpoint has the same graph, so its .meta is made once.
        """
        import tensorflow.compat.v1 as tf
        self._saver = tf.train.Saver(max_to_keep=self.max_to_keep, save_relative_paths=True)
        self._meta_graph = self._saver.export_meta_graph().SerializeToString()

    def restore_latest(self, session, required=False):
        """Restore the latest checkpoint that can be read.

        Args:
          session: a session on the graph that `attach` saw.
          required: whether a missing checkpoint is an error, as after a recorded epoch.

        Returns:
          The checkpoint's step, or None if there is no checkpoint.

        Raises:
          errors.Failure: there are checkpoints, or there must be, and none can be read.
        """
        saved = self.saved()
        found = self._restore_first(session, reversed(saved), "the checkpoint before it is used")
        if not found:
            if saved or required:
                raise self._nothing_restorable()
            return None
        step, _, damaged = found
        good = [path for _, path in saved if path not in damaged]
        best = [path for _, path in self.saved(BEST)]
        # A process that died may have left more than are kept.
        self._remove(good[:-self.max_to_keep] + best[:-1])
        return step

    def restore_final(self, session):
        """Restore the best checkpoint, or the latest if there is no best one that can be read.

        Returns:
          (step, path) of the checkpoint.

        Raises:
          errors.Failure: no checkpoint can be read.
        """
        saved = self.saved() + self.saved(BEST)
        found = self._restore_first(session, reversed(saved), "another checkpoint is used")
        if not found:
            raise self._nothing_restorable()
        return found[:2]

    def _restore_first(self, session, saved, otherwise):
        """(step, path, damaged paths) of the first checkpoint that can be restored, or None."""
        damaged = []
        for step, path in saved:
            try:
                restore_variables(session, self._saver, path)
            except errors.Failure as failure:
                damaged.append(path)
                print(f"{failure}; {otherwise}", file=sys.stderr)
                continue
            return step, path, damaged
        return None

    def _nothing_restorable(self):
        return errors.Failure(f"{self.folder}: no checkpoint can be restored; "
                              "--overwrite starts the run anew")

    def save(self, session, step):
        """Save the variables as the latest checkpoint and remove the oldest one too many."""
        self._save(session, step, LATEST)
        kept = [path for _, path in self.saved()]
        self._remove(kept[:-self.max_to_keep])
        self._write_state(LATEST, kept[-self.max_to_keep:])

    def save_best(self, session, step, same_as_latest):
        """Save the variables as the best checkpoint, in place of the best one before.

        Args:
          session: a session with the weights to save.
          step: their training step.
          same_as_latest: whether the latest checkpoint holds these weights already. The best one
            is then a second name of it.
        """
        earlier = [path for saved_step, path in self.saved(BEST) if saved_step != step]
        if same_as_latest:
            with self._new_files(f"{BEST}-{step}") as place:
                for suffix in SUFFIXES:
                    files.link_or_copy(self.folder / f"{LATEST}-{step}{suffix}",
                                       place / f"{BEST}-{step}{suffix}")
        else:
            self._save(session, step, BEST)
        self._write_state(BEST, [str(self.folder / f"{BEST}-{step}")])
        self._remove(earlier)

    def _save(self, session, step, kind):
        self.folder.mkdir(exist_ok=True)
        name = f"{kind}-{step}"
        with self._new_files(name) as place:
            with files.open_new(place / f"{name}.meta") as out:
                out.write(self._meta_graph)
            # `Saver.save` deletes older checkpoints by patterns, which may fit other runs' files.
            saver = self._saver.saver_def
            session.run(saver.save_tensor_name, {saver.filename_tensor_name: plain(place / name)})

    def _new_files(self, name):
        """`files.filling` for the files of a checkpoint, the .index last, which makes it count."""
        return files.filling(self.folder, [name + suffix for suffix in reversed(SUFFIXES)])

    def _write_state(self, kind, paths):
        """Write TensorFlow's state file, with the names of the checkpoints, the latest last."""
        names = [pathlib.Path(path).name for path in paths]
        with files.replacing(self.folder / STATE_FILES[kind]) as out:
            out.write(f'model_checkpoint_path: "{names[-1]}"\n')
            out.writelines(f'all_model_checkpoint_paths: "{name}"\n' for name in names)

    def _remove(self, paths):
        """Remove checkpoints, by the exact names of their files, the .index first."""
        for path in paths:
            for suffix in SUFFIXES:
                files.remove(pathlib.Path(path + suffix))


def prefix(path):
    """The path of a checkpoint, as `Saver.restore` takes it, from that of one of its files."""
    return re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", str(path))


def former_name(name):
    """The name that the variable `name` had in older runs, None if it had no other name."""
    if name.endswith("/ExponentialMovingAverage"):
        return f"training/{name}"
    return FORMER_NAMES.get(name)


def restore_variables(session, saver, path):
    """Restore the checkpoint at `path` with a `tf.train.Saver`, by former names if need be.

    Raises:
      errors.Failure: the checkpoint is damaged or belongs to another graph.
    """
    import tensorflow.compat.v1 as tf

    from tf1cifar.training.session import short_message
    path, shown = plain(path), path
    try:
        try:
            saver.restore(session, path)
        except tf.errors.NotFoundError:
            stored = tf.train.load_checkpoint(path).get_variable_to_shape_map()
            names = {variable.op.name: variable for variable in tf.global_variables()}
            former = {name if name in stored else former_name(name): variable
                      for name, variable in names.items()}
            if not former.keys() <= stored.keys():
                raise
            tf.train.Saver(former).restore(session, path)
    except (tf.errors.OpError, ValueError) as error:
        raise errors.Failure(f"{shown}: cannot be restored; {short_message(error)}") from error
