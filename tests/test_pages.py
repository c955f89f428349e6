"""What the pages' blocks of TOML say can be said: keys, data sets, relations."""

import re
from pathlib import Path

import pytest
import tomllib

from lsu.runtime import Dataset, LabelSpace, Relation
from lsu.training.config import Config
from lsu.training.preset import with_preset
from lsu.training.rounds_config import RoundsConfig

DOCS = Path(__file__).parent.parent / "docs"
BLOCKS = [
    (page.name, text)
    for page in sorted(DOCS.glob("*.md"))
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    if re.search(r"^output = ", text, flags=re.MULTILINE)
]


@pytest.mark.parametrize(("page", "text"), BLOCKS, ids=[f"{k}-{page}" for k, (page, _) in enumerate(BLOCKS)])
def test_a_configuration_of_the_pages_can_be_read(page: str, text: str) -> None:
    table = tomllib.loads(text)
    config = (RoundsConfig if "source" in table else Config).from_dict(with_preset(table, page), page)
    entries = [*config.source, *config.foreign] if isinstance(config, RoundsConfig) else config.data
    for entry in entries:
        known = catalogue_space(entry.dataset)
        relation = getattr(entry, "relation", None)
        if relation is not None:
            assert Relation.load(relation).foreign == known


def test_the_pages_have_configurations() -> None:
    assert {page for page, _ in BLOCKS} == {"distillation.md", "methods.md"}


def catalogue_space(name: str) -> LabelSpace:
    return Dataset.load(name, Path("nowhere")).label_space
