"""`lsu export keygen`: a key pair to sign bundles and engines with."""

from pathlib import Path
from typing import Annotated

import typer

from lsu.runtime.terminal import JsonFlag, print_json


def keygen(
    name: Annotated[Path, typer.Argument(help="Where to write it: NAME.key and NAME.pub.")],
    *,
    json: JsonFlag = False,
) -> None:
    """Make an Ed25519 key pair and print its id.

    NAME.key signs and stays secret; it has no passphrase, only its owner can read it, and nothing
    overwrites it. NAME.pub goes to every machine that shall trust the signer.

    Example: [bold]lsu export keygen keys/factory[/bold]
    """
    from lsu.export.sign import write_key_pair

    files = write_key_pair(name)
    if json:
        print_json({"key": files.key.id, "private": str(files.private), "public": str(files.public)})
    else:
        print(f"key {files.key.id}: sign with {files.private}, trust with {files.public}")
