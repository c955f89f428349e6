"""The relabelling of one split, from a teacher and a request to a data set on disk.

What is written depends on the request alone: a run that was killed and continued leaves the same files as one
that was not. Frames are finished in order.
"""

import os
from collections.abc import Callable
from pathlib import Path

from .labeller import Labeller
from .output import Output
from .request import Request
from .summary import Summary
from .teachers import Teacher
from .threshold import write_confident_labels

__all__ = ["Request", "relabel"]


def relabel(
    teacher: Teacher,
    request: Request,
    out: Path,
    *,
    workers: int | None = None,
    on_frame: Callable[[int], object] = lambda _: None,
) -> Summary:
    """Write pseudo-labels for every frame; `out` becomes a data set in the teacher's label space.

    A frame whose files cannot be used is recorded and left out. A second call with the same request
    continues where the first one stopped.

    Args:
        teacher: gives the scores.
        request: what to relabel and how.
        out: the folder; new, or one that the same request began.
        workers: threads that read, constrain and write, the machine's cores if None.
        on_frame: called with the number of frames that were done, at first for those of an earlier run;
            `request.total` in all.

    Raises:
        InputError: teacher, relation and split do not belong together, or `out` holds something else.
        BackendError: a device or the disk failed; what is done stays done.
    """
    request.check(teacher)
    split, space, workers = request.split, teacher.label_space, workers or os.cpu_count() or 1
    with Output.opened(out, split, request.header(teacher)) as output:
        left = output.frames_left()
        on_frame(len(split.frames) - len(left))
        entries = output.finish(Labeller(teacher, request, output, workers).run(left), on_frame)
        levels = None
        if request.confidence is not None:
            if left:  # other levels: labels of both must not stand together
                output.withdraw()
            levels = write_confident_labels(output, entries, space, workers=workers, on_frame=on_frame)
        output.make_dataset(f"{split.dataset}-relabelled", space, entries)
        return output.summarise(entries, request.applied, levels)
