"""The report of a verification as a folder: report.json, report.html and the worst images."""

import re
from pathlib import Path

from lsu.runtime.errors import InputError
from lsu.runtime.files import refuse_blocked, write_folder
from lsu.runtime.image import png_from_pixels
from lsu.runtime.terminal import json_text

from .report_page import page, share_text
from .verify import Verification
from .worst_picture import strip

DOCUMENT, PAGE, PICTURES = "report.json", "report.html", "worst"


def refuse_existing_report(folder: Path) -> None:
    """Raise InputError when the report could not be written there, before the work."""
    refuse_blocked(folder)
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} exists: choose another name or remove it")


def write_report(folder: Path, verification: Verification) -> None:
    """Write the report, all of it or nothing.

    Raises:
        InputError: something is already there.
        BackendError: the disk refused it.
    """
    refuse_existing_report(folder)
    document = verification.to_dict()
    pictures: dict[str, bytes] = {}
    files: dict[str, bytes] = {}
    for comparison in verification.comparisons:
        for number, worst in enumerate(comparison.worst, 1):
            drawn = png_from_pixels(strip(worst, verification.bundle.spec.label_space), rgb=True)
            equal = share_text(1 - worst.different / worst.reference.size)
            caption = f"{comparison.backend}, {comparison.mode}: {worst.name}, {equal} % equal"
            pictures[caption] = drawn
            files[f"{PICTURES}/{file_name(comparison.backend, comparison.mode)}-{number}.png"] = drawn
    files[DOCUMENT] = f"{json_text(document)}\n".encode()
    files[PAGE] = page(document, pictures).encode()
    write_folder(folder, files)


def file_name(*texts: str) -> str:
    """Texts as one name that any file system takes."""
    return "-".join(re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("._") or "_" for text in texts)
