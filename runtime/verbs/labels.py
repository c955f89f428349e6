"""`lsu labels`: the catalogue's label spaces, and what relations between them say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsu.runtime.errors import InputError, LsuError
from lsu.runtime.terminal import (
    BELOW_LEVEL,
    JsonFlag,
    print_json,
    print_line,
    print_note,
    print_table,
    swatch,
)

if TYPE_CHECKING:
    from lsu.runtime.label_space import LabelSpace
    from lsu.runtime.relation import Relation
    from lsu.runtime.relation_check import RelationCheck

_KINDS = {"label_spaces": "label spaces", "relations": "relations", "datasets": "data sets"}


def show_labels(
    name: Annotated[str, typer.Argument(help="A label space: a name of the catalogue, or a TOML file.")],
    *,
    json: JsonFlag = False,
) -> None:
    """Show a label space: indices, file ids, colours, names and concepts.

    Example: [bold]lsu labels show goose[/bold]
    """
    from lsu.runtime.label_space import LabelSpace

    space = LabelSpace.load(name)
    if json:
        print_json(space.to_dict() | {"identity": space.identity})
        return
    rows = [
        (
            swatch(entry.colour),
            entry.name,
            ", ".join(entry.concepts),
            "void" if k >= len(space) else str(k),
            "" if entry.id is None else str(entry.id),
            "" if entry.colour is None else " ".join(map(str, entry.colour)),
        )
        for k, entry in enumerate((*space.classes, *space.void))
    ]
    title = f"{space.name}: {len(space)} classes, identity {space.identity}"
    print_table(title, ("", "name", "concepts", "index", "file id", "RGB"), rows, texts=3)
    for key, text in (("source", space.source), ("licence", space.licence), ("note", space.note)):
        if text:
            print_line(f"{key}: {text}")
    for repair in space.repairs:
        print_line(f"repaired: {repair}")


def check_labels(
    relation: Annotated[
        str | None, typer.Argument(help="A relation: a name of the catalogue, or a TOML file.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Check the whole catalogue.")] = False,
    json: JsonFlag = False,
) -> None:
    """Check a relation: cardinalities, unmapped labels, unreachable classes and suspicious rows.

    A row is suspicious when it forbids, without a reason, what the concepts of both label spaces allow, or
    allows nothing of it. The exit code is 1 where a label is unmapped or a row is suspicious.

    [bold]Example:[/bold] lsu labels check idd_lite-to-camvid11
    """
    from lsu.runtime.relation import Relation
    from lsu.runtime.relation_check import RelationCheck

    if everything == (relation is not None):
        raise InputError("give one relation, or --all")
    if relation is None:
        passed = _check_all(json=json)
    else:
        check = RelationCheck.of(Relation.load(relation))
        passed = check.passed
        if json:
            print_json(check.to_dict())
        else:
            _print_check(check)
    if not passed:
        raise SystemExit(BELOW_LEVEL)


def relate_labels(  # noqa: PLR0913 - a command's options
    source: Annotated[str, typer.Argument(help="The label space of the answers.")],
    foreign: Annotated[str, typer.Argument(help="The label space of the existing labels.")],
    *,
    via: Annotated[
        str | None, typer.Option(help="Chain two relations over this label space instead of the concepts.")
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Turn the catalogue's SOURCE-to-FOREIGN round instead.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the TOML file here.")] = None,
    json: JsonFlag = False,
) -> None:
    """Derive the relation of any two label spaces from their concepts, and print it as TOML.

    What it can claim: concepts say which classes may share a pixel; they know no annotator's habits. Look at
    it, mend it, and give reasons: [bold]lsu labels check[/bold] holds the result against the concepts again.

    [bold]Example:[/bold] lsu labels relate camvid11 goose -o goose-to-camvid11.toml
    """
    from lsu.runtime.files import refuse_blocked, write_atomically
    from lsu.runtime.label_space import LabelSpace
    from lsu.runtime.relation_check import RelationCheck

    if via is not None and invert:
        raise InputError("--via and --invert are two ways: give one of them")
    if output is not None:
        refuse_blocked(output)
        if output.exists():
            raise InputError(f"{output} exists and may hold somebody's work: delete it, or choose another -o")
    relation = _related(LabelSpace.load(source), LabelSpace.load(foreign), via=via, invert=invert)
    text = relation.to_toml(source=_reference(source), foreign=_reference(foreign))
    if output is not None:
        write_atomically(output, text.encode())
    if json:
        print_json(RelationCheck.of(relation).to_dict())
    elif output is None:
        print(text, end="")


def _reference(name: str) -> str:
    """How a relation's file names a label space wherever it lies: a catalogue name, or an absolute path."""
    from lsu.runtime.lookup import catalogue_names

    return name if name in catalogue_names("label_spaces") else str(Path(name).absolute())


def _related(source: "LabelSpace", foreign: "LabelSpace", *, via: str | None, invert: bool) -> "Relation":
    from lsu.runtime.derivation import chain, inverse, relation_from_concepts
    from lsu.runtime.label_space import LabelSpace

    shipped = _shipped(source, foreign)
    if shipped is not None:
        print_note(f"lsu: the catalogue has {shipped.name}, which people looked through")
    if invert:
        turned = _shipped(foreign, source)
        if turned is None:
            raise InputError(
                f"the catalogue has no relation of {source.name!r} labels to {foreign.name!r} classes "
                "to turn round (lsu labels list shows all): leave --invert out"
            )
        return inverse(turned)
    if via is None:
        return relation_from_concepts(source, foreign)
    middle = LabelSpace.load(via)
    first = _shipped(middle, foreign) or relation_from_concepts(middle, foreign)
    second = _shipped(source, middle) or relation_from_concepts(source, middle)
    return chain(first, second)


def _shipped(source: "LabelSpace", foreign: "LabelSpace") -> "Relation | None":
    """The catalogue's relation of these two label spaces, whose names alone a user's file may have too."""
    from lsu.runtime.lookup import catalogue_names
    from lsu.runtime.relation import Relation

    name = f"{foreign.name}-to-{source.name}"
    if name not in catalogue_names("relations"):
        return None
    relation = Relation.load(name)
    same = (relation.source.identity, relation.foreign.identity) == (source.identity, foreign.identity)
    return relation if same else None


def _print_check(check: "RelationCheck") -> None:
    relation = check.relation
    rows = [(row.label, ", ".join(row.allowed), row.kind, _remark(row)) for row in check.rows]
    head = (f"{relation.foreign.name} label", f"allowed {relation.source.name} classes", "kind", "remark")
    print_table(f"{relation.name}, identity {relation.identity}", head, rows, texts=4)
    print_line(f"cardinalities: {', '.join(f'{n} {kind}' for kind, n in check.cardinalities.items())}")
    for what, names in (
        ("unmapped, takes the default", relation.unmapped),
        ("unreachable", relation.unreachable()),
        ("never void without a void channel", relation.void_without_effect()),
        ("suspicious", tuple(row.label for row in check.suspicious)),
    ):
        print_line(f"{what}: {', '.join(names) or 'none'}")
    if check.without_concepts:
        print_note(f"lsu: not held against concepts: {check.without_concepts}")


def _remark(row: Any) -> str:
    if row.suspicion:
        return f"! {row.suspicion}"
    if row.reason:
        return f"without {', '.join(row.forbidden)}: {row.reason}"
    return f"beyond the concepts: {', '.join(row.beyond)}" if row.beyond else ""


def _check_all(*, json: bool) -> bool:
    """Check every file of the catalogue and print one line each; whether all passed."""
    from lsu.runtime.lookup import catalogue_names

    results = [
        {"kind": kind, "name": name, **_outcome(kind, name)}
        for kind in _KINDS
        for name in catalogue_names(kind)
    ]
    if json:
        print_json(results)
    else:
        rows = [(_KINDS[r["kind"]], r["name"], r["said"], "ok" if r["passed"] else "FAILED") for r in results]
        print_table("catalogue", ("kind", "name", "what it says", ""), rows, texts=4)
        failed = [r["name"] for r in results if not r["passed"]]
        print(f"{len(results)} files, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return all(r["passed"] for r in results)


def _outcome(kind: str, name: str) -> dict[str, Any]:
    try:
        passed, said = _verdict(kind, name)
    except LsuError as error:
        passed, said = False, str(error)
    return {"passed": passed, "said": said}


def _verdict(kind: str, name: str) -> tuple[bool, str]:
    """Whether a file of the catalogue is right, and what it says; raises LsuError where it does not load."""
    from lsu.runtime.concepts import Vocabulary
    from lsu.runtime.datasets.dataset import Dataset
    from lsu.runtime.label_space import LabelSpace
    from lsu.runtime.relation import Relation
    from lsu.runtime.relation_check import RelationCheck

    if kind == "label_spaces":
        space = LabelSpace.load(name)
        Vocabulary.load().of_classes(space)
        return True, f"{len(space)} classes, {len(space.void)} void names"
    if kind == "datasets":
        dataset = Dataset.load(name, root=Path())
        return True, f"{dataset.label_space.name}; {', '.join(dataset.splits)}"
    check = RelationCheck.of(Relation.load(name))
    said = ", ".join(f"{n} {rows}" for rows, n in check.cardinalities.items())
    said += "".join(f"; {row.label!r} {row.suspicion}" for row in check.suspicious)
    return check.passed, said
