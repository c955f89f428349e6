"""`lsu export triton`: a bundle in a model repository of NVIDIA's inference server."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lsu.runtime.errors import BackendError
from lsu.runtime.terminal import JsonFlag, TrustOption, print_json, print_note


def triton(  # noqa: PLR0913 - the options of one command
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The model repository, new or old.")],
    name: Annotated[str | None, typer.Option(help="The model's name. \\[default: the bundle's]")] = None,
    engine: Annotated[
        str | None, typer.Option(help="Serve this engine of the bundle, by its tag, instead of ONNX.")
    ] = None,
    max_batch: Annotated[
        int,
        typer.Option(min=0, help="Images of several requests that the server may put together; 0: none."),
    ] = 0,
    trust: TrustOption = None,
    json: JsonFlag = False,
) -> None:
    """Lay a bundle out for Triton: NAME/config.pbtxt and NAME/1/ with the model.

    Without --engine the onnxruntime backend gives scores, which the client's head makes classes of. An
    engine with the plugin gives classes, packed four to an INT32. Nothing here has been served by a Triton.

    Example: [bold]lsu export triton town.bundle -o models --max-batch 8[/bold]
    """
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust

    if not find_spec("onnx"):
        raise BackendError("onnx missing: pip install 'lsu[export]'")
    from lsu.export.triton import Serving, lay_out

    opened = Bundle.open(bundle, trust=Trust.from_files(trust or ()))
    path = lay_out(opened, output, Serving(name, engine, max_batch))
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    if engine is not None and opened.manifest.head == "plugin":
        print_note(
            "an engine with the plugin needs it in the server: --backend-config=tensorrt,plugins=PATH/"
            "liblsu_tensorrt.so"
        )
    if json:
        print_json({"model": str(path), "bundle": opened.digest, "files": files})
    else:
        print(f"{path}: {', '.join(files)}; tritonserver --model-repository={output}")
