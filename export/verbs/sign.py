"""`lsu export sign`: vouch for a bundle and its engines."""

from pathlib import Path
from typing import Annotated

import typer

from lsu.runtime.terminal import JsonFlag, TrustOption, print_json


def sign(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    *,
    key: Annotated[Path, typer.Option(help="The signer's private key, as `lsu export keygen` makes it.")],
    engine: Annotated[
        str | None, typer.Option(help="Sign this engine of the bundle alone, by its folder's name.")
    ] = None,
    trust: TrustOption = None,
    json: JsonFlag = False,
) -> None:
    """Verify a bundle with its engines, then sign their manifests.

    A device that builds an engine signs it with its own key: --engine TAG, and --trust with the key of
    whoever made the bundle.

    Example: [bold]lsu export sign town.bundle --key keys/factory.key[/bold]
    """
    from lsu.export.sign import SigningKey, sign_bundle
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust

    signer = SigningKey.from_file(key)
    opened = Bundle.open(bundle, trust=Trust.from_files(trust or ()))
    signed = sign_bundle(opened, signer, engine=engine)
    if json:
        files = [file.relative_to(bundle).as_posix() for file in signed]
        print_json({"bundle": str(bundle), "digest": opened.digest, "key": signer.public.id, "signed": files})
    else:
        for file in signed:
            print(f"{file}: signed by {signer.public.id}")
