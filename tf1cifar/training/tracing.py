"""`session.run` with a trace of its operations, for --profile."""

import tensorflow.compat.v1 as tf

from tf1cifar import files


def run(session, fetches, feed_dict, trace_file=None):
    """Call `session.run`, and write a trace of its operations if a file is given.

    Args:
      session: the session.
      fetches, feed_dict: the arguments of `session.run`.
      trace_file: `pathlib.Path` of a file for chrome://tracing; None for no trace.

    Returns:
      The values of `fetches`.
    """
    if trace_file is None:
        return session.run(fetches, feed_dict)
    # `timeline` is private, but TensorFlow has no other writer of traces for a browser.
    from tensorflow.python.client import timeline
    metadata = tf.RunMetadata()
    values = session.run(fetches, feed_dict,
                         tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
    trace_file.parent.mkdir(exist_ok=True)
    with files.replacing(trace_file) as out:
        out.write(timeline.Timeline(metadata.step_stats).generate_chrome_trace_format())
    return values
