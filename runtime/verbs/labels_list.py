"""`lsu labels list`: what the catalogue holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsu.runtime.terminal import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from lsu.runtime.datasets.dataset import Dataset


def list_labels(*, json: JsonFlag = False) -> None:
    """List the label spaces, relations and data sets of the catalogue.

    Example: [bold]lsu labels list[/bold]
    """
    from lsu.runtime.datasets.dataset import Dataset
    from lsu.runtime.label_space import LabelSpace
    from lsu.runtime.lookup import catalogue_names
    from lsu.runtime.relation import Relation

    spaces = [LabelSpace.load(name) for name in catalogue_names("label_spaces")]
    relations = [Relation.load(name) for name in catalogue_names("relations")]
    datasets = [Dataset.load(name, root=Path()) for name in catalogue_names("datasets")]
    if json:
        print_json(
            {
                "label_spaces": [
                    {"name": s.name, "classes": len(s), "identity": s.identity, "licence": s.licence}
                    for s in spaces
                ],
                "relations": [
                    {"name": r.name, "source": r.source.name, "foreign": r.foreign.name} for r in relations
                ],
                "datasets": [_dataset_table(dataset) for dataset in datasets],
            }
        )
        return
    rows = [(s.name, str(len(s)), str(len(s.void))) for s in spaces]
    print_table("label spaces", ("name", "classes", "void names"), rows)
    print_table(
        "relations: labels of the first, answers in the second",
        ("foreign label space", "source label space", "name"),
        [(r.foreign.name, r.source.name, r.name) for r in relations],
        texts=3,
    )
    print_table(
        "data sets: --data NAME --root DIR",
        ("name", "label space", "splits with their official numbers of frames"),
        [(d.name, d.label_space.name, _splits_text(d)) for d in datasets],
        texts=3,
    )


def _dataset_table(dataset: "Dataset") -> dict[str, Any]:
    return {
        "name": dataset.name,
        "label_space": dataset.label_space.name,
        "splits": {name: split.count for name, split in dataset.splits.items()},
        "counts_source": dataset.counts_source,
    }


def _splits_text(dataset: "Dataset") -> str:
    return ", ".join(
        name if split.count is None else f"{name} {split.count:,}" for name, split in dataset.splits.items()
    )
