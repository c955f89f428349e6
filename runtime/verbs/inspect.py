"""`lsu inspect`: what is inside a bundle, and whether this machine reproduces it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsu.runtime.errors import BackendError
from lsu.runtime.terminal import JsonFlag, TrustOption, print_json, print_line, print_table

if TYPE_CHECKING:
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Kind


def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    *,
    run: Annotated[bool, typer.Option(help="Run the golden frames on this machine's backend.")] = True,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt or tensorrt-rtx.")] = "auto",
    trust: TrustOption = None,
    json: JsonFlag = False,
) -> None:
    """Show what is inside a bundle, verify every file's hash and signature and run its golden frames.

    With --trust, a bundle or an engine that none of the keys signed is refused.

    Example: [bold]lsu inspect town.bundle[/bold]
    """
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust

    opened = Bundle.open(bundle, trust=Trust.from_files(trust or ()))
    engines = _engines(opened)
    failure: BackendError | None = None
    golden: dict[str, Any] = {"frames": len(opened.manifest.golden), "passed": None}
    if run:
        try:
            golden |= _run_golden(opened, backend)
        except BackendError as error:
            failure = error  # told after what is inside
    document = {
        **_document(opened, golden),
        "signatures": _signatures(opened, opened.path / "bundle.json", "bundle"),
        "engines": engines,
    }
    if json:
        print_json(document)
    else:
        _print(document)
    if failure is not None or golden["passed"] is False:
        raise failure or BackendError(golden["reason"])


def _run_golden(bundle: "Bundle", backend: str) -> dict[str, Any]:
    from lsu.runtime.engines import engine_for

    engine = engine_for(bundle, backend)
    try:
        result = bundle.self_test(engine)
    except BackendError as error:
        return {"passed": False, "reason": str(error)}
    finally:
        engine.close()
    return {
        "passed": True,
        "largest_score_difference": result.difference,
        "largest_difference_of_range": result.share,
        "equal_classes": result.equal,
    }


def _engines(bundle: "Bundle") -> list[dict[str, Any]]:
    """What each engine is, its plan verified."""
    from lsu.runtime.bundles.stored_engine import ENGINE_MANIFEST, engines_of

    found = []
    for stored in engines_of(bundle):
        stored.read_plan()
        about = stored.manifest
        found.append(
            {
                "tag": stored.path.name,
                "target": about.target,
                "library": about.library,
                "sms": list(about.sms),
                "platform": about.platform,
                "bytes": about.plan_bytes,
                "signatures": _signatures(bundle, stored.path / ENGINE_MANIFEST, "engine"),
            }
        )
    return found


def _signatures(bundle: "Bundle", manifest: Path, kind: "Kind") -> list[dict[str, str]]:
    from lsu.runtime.bundles.trust import MOST_MANIFEST, SIGNATURES
    from lsu.runtime.files import read_limited

    data = read_limited(manifest, MOST_MANIFEST)
    found = bundle.trust.signatures(data, manifest.parent / SIGNATURES, kind)
    return [{"key": signature.key_id, "state": signature.state} for signature in found]


def _document(bundle: "Bundle", golden: dict[str, Any]) -> dict[str, Any]:
    spec, manifest = bundle.spec, bundle.manifest
    return {
        "bundle": str(bundle.path),
        "name": bundle.name,
        "digest": bundle.digest,
        "label_space": {
            "name": spec.label_space.name,
            "identity": spec.label_space.identity,
            "classes": list(spec.label_space.names),
        },
        "input": {
            "format": "rgb8",
            "fit": spec.fit,
            "size": spec.size,
            "multiple": spec.multiple,
            "pad_value": spec.pad_value,
        },
        "scores": spec.scores,
        "void_channel": spec.void_channel,
        "precision": bundle.precision,
        "head": manifest.head,
        "provenance": dict(bundle.provenance),
        "verification": dict(manifest.verification),
        "files": {
            name: {"bytes": (bundle.path / name).stat().st_size, "sha256": digest, "verified": True}
            for name, digest in manifest.files.items()
        },
        "golden": golden,
    }


def _print(document: dict[str, Any]) -> None:
    space, source = document["label_space"], document["input"]
    size = "x".join(map(str, source["size"])) if source["size"] else f"multiples of {source['multiple']}"
    provenance, golden = document["provenance"], document["golden"]
    rows = [
        ("name", document["name"]),
        ("digest", document["digest"]),
        ("label space", f"{space['name']} ({len(space['classes'])} classes, {space['identity']})"),
        ("classes", ", ".join(space["classes"])),
        ("input", f"RGB, 8 bit, {size} (HxW), fit {source['fit']}, pad value {source['pad_value']}"),
        ("scores", f"{document['scores']}, void channel {document['void_channel']}"),
        ("precision", document["precision"]),
        ("head", document["head"]),
        ("made by", ", ".join(f"{k} {v}" for k, v in provenance.items() if isinstance(v, str | int))),
        ("measured then", ", ".join(f"{k} {_number(v)}" for k, v in document["verification"].items())),
        ("golden frames", _golden_text(golden)),
        ("signed by", _signers_text(document["signatures"])),
    ]
    for key, value in rows:
        print_line(f"{key:<14} {value}")
    files = [(name, f"{about['bytes']:,}", "verified") for name, about in document["files"].items()]
    print_table("files", ("file", "bytes", "SHA-256"), files)
    if document["engines"]:
        engines = [
            (e["tag"], e["library"], _signers_text(e["signatures"]), f"{e['bytes']:,}")
            for e in document["engines"]
        ]
        print_table("engines", ("engine", "library", "signed by", "bytes"), engines, texts=3)


def _signers_text(signatures: list[dict[str, str]]) -> str:
    return ", ".join(f"{s['key']} ({s['state']})" for s in signatures) or "nobody"


def _golden_text(golden: dict[str, Any]) -> str:
    if not golden["frames"]:
        return "none in this bundle"
    if golden["passed"] is None:
        return f"{golden['frames']}, not run"
    if not golden["passed"]:
        return f"{golden['frames']}, NOT reproduced here"
    return (
        f"{golden['frames']} reproduced here: {100 * golden['equal_classes']:.2f} % of pixels equal, "
        f"scores within {_number(golden['largest_score_difference'])}"
    )


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
