"""What labels are kinds of: a hierarchy, so that a unit can be named 'dog' where the labels are breeds.

    hierarchy = read_hierarchy(config.dataset)
    hierarchy.nodes("beagle")          # ('n02088364', 'n02087551', ..., 'n00001740')
    hierarchy.name("n02087551")        # 'hound'

`dataset.hierarchy` names it: 'imagenet' (packaged, from WordNet 3.0) or a text file. Each line of the file has a child
and its parent, with a tab between them; a child with several parents has several lines. A third column may hold the
child's names, with '|' between them: the first is shown, and labels may be any of them. Without a hierarchy, labels
that are paths ('animals/dogs') are kinds of what their folders are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

from network_atlas.config.dataset import DatasetConfig
from network_atlas.errors import DatasetError, counted
from network_atlas.fingerprints import fingerprint

IMAGENET = "imagenet"
CLASSES = 1000
"""The first children of ImageNet's hierarchy are its classes, in their usual order: labels may be their numbers."""
FIX = "Give a text file in UTF-8 with a child, a tab and its parent on each line, or dataset.hierarchy=imagenet"


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Nodes and what they are kinds of."""

    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each child, in the order of the file."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of the nodes that have names; the first is shown."""
    numbered: tuple[str, ...] = ()
    """Nodes that a label may also name by its number."""

    def nodes(self, label: str) -> tuple[str, ...]:
        """Return the label's node and all that it is a kind of, nearest first.

        A label that the hierarchy does not know, or that names several of its nodes, is a node of its own. The
        folders of a path are what it is a kind of.
        """
        seen: dict[str, None] = {}
        level = [self.node(label) or label]
        while level:
            seen.update(dict.fromkeys(level))
            level = [above for node in level for above in self._above(node) if above not in seen]
        return tuple(seen)

    def _above(self, node: str) -> tuple[str, ...]:
        if self.parents:
            return self.parents.get(node, ())
        return (node.rpartition("/")[0],) if "/" in node.strip("/") else ()

    def node(self, label: str) -> str | None:
        """Return the node that a label names; None if there is none, or more than one."""
        if label in self._every_node:
            return label
        if self.numbered and label.isascii() and label.isdecimal() and int(label) < len(self.numbered):
            return self.numbered[int(label)]
        for called, text in zip(self._called, (label, label.casefold()) * 4, strict=True):
            if len(nodes := called.get(text, ())) == 1:
                return nodes[0]
        return None

    def name(self, node: str) -> str:
        """Return the name by which a node is shown."""
        return self.names[node][0] if node in self.names else node

    @cached_property
    def _every_node(self) -> frozenset[str]:
        return frozenset(self.parents) | {parent for parents in self.parents.values() for parent in parents}

    @cached_property
    def _called(self) -> tuple[dict[str, tuple[str, ...]], ...]:
        """Return tables from a name to its nodes, to be asked one after the other: each as written, then in lower case.

        Classes come before what they are kinds of, and a class's first name before another's further ones: a panda is
        no lesser panda.
        """
        every, firsts = self.names, {node: names[:1] for node, names in self.names.items()}
        kinds = ((firsts, self.numbered), (every, self.numbered), (firsts, tuple(every)), (every, tuple(every)))
        return tuple(_by_name(names, nodes, written) for names, nodes in kinds for written in (str, str.casefold))

    @property
    def content(self) -> str:
        """Return a hash of what the hierarchy says; '' for none."""
        return fingerprint("hierarchy", list(self.parents.items()), list(self.names.items())) if self.parents else ""


def _by_name(
    names: Mapping[str, tuple[str, ...]], nodes: tuple[str, ...], written: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    by_name: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        for text in {written(name) for name in names.get(node, ())}:
            by_name[text] = (*by_name.get(text, ()), node)
    return by_name


def read_hierarchy(config: DatasetConfig) -> Hierarchy:
    """Return the hierarchy that the setting names; an empty one for ''. Raises DatasetError for a bad file."""
    if not config.hierarchy:
        return Hierarchy()
    if config.hierarchy == IMAGENET:
        return _imagenet()
    path = Path(config.hierarchy)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"can't read dataset.hierarchy={config.hierarchy!r}: {error}. {FIX}") from error
    return parse(text, where=f"dataset.hierarchy={config.hierarchy!r}")


@lru_cache(maxsize=1)
def _imagenet() -> Hierarchy:
    packaged = files("network_atlas.dataset").joinpath("wordnet/imagenet.tsv")
    return parse(packaged.read_text("utf-8"), where="imagenet.tsv", numbered=CLASSES)


def parse(text: str, *, where: str, numbered: int = 0) -> Hierarchy:
    """Return the hierarchy of a text; raise DatasetError, with the line, for what is none. '#' begins a comment."""
    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for child, parent, called in _lines(text, where):
        known = parents.setdefault(child, ())
        if parent and parent not in known:
            parents[child] = (*known, parent)
        if called:
            names[child] = called
    if not parents:
        raise DatasetError(f"{where} holds no line with a child and its parent. {FIX}")
    _check_circles(parents, where)
    return Hierarchy(parents=parents, names=names, numbered=tuple(parents)[:numbered])


def _lines(text: str, where: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) not in (2, 3) or not columns[0]:
            raise DatasetError(
                f"{where}, line {number}: {line!r} has {counted(len(columns), 'column')}; allowed are 2 (child, "
                f"parent) or 3 (and names), and the child must have a text. {FIX}"
            )
        called = tuple(name.strip() for name in columns[2].split("|") if name.strip()) if len(columns) == 3 else ()
        yield columns[0], columns[1], called


def _check_circles(parents: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Raise DatasetError if a node is a kind of itself."""
    done: set[str] = set()
    for start in parents:
        way = [(start, iter(parents[start]))]
        on_way = [start]
        while way:
            above = next(way[-1][1], None)
            if above is None:
                done.add(on_way.pop())
                way.pop()
            elif above in on_way:
                circle = " > ".join([*on_way[on_way.index(above) :], above])
                raise DatasetError(f"{where}: {above!r} is a kind of itself ({circle}); take out one of these lines")
            elif above not in done:
                way.append((above, iter(parents.get(above, ()))))
                on_way.append(above)


def unknown_labels(hierarchy: Hierarchy, labels: frozenset[str], config: DatasetConfig) -> str:
    """Return a sentence on the labels that the hierarchy does not know, or that there are none; '' if all is well.

    Raises DatasetError if it knows none of them.
    """
    unknown = sorted(label for label in labels if label and hierarchy.node(label) is None)
    if hierarchy.parents and labels and not labels - {""}:
        return (
            f"dataset.hierarchy={config.hierarchy!r} has nothing to name: no image has a label. Say where labels are "
            "with dataset.label, or leave dataset.hierarchy out"
        )
    if not hierarchy.parents or not unknown:
        return ""
    first = ", ".join(repr(label) for label in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
    if len(unknown) == len(labels - {""}):
        raise DatasetError(
            f"dataset.hierarchy={config.hierarchy!r} knows none of the dataset's labels ({first}); its children "
            "must be written as the labels are, or leave dataset.hierarchy out"
        )
    if config.source == "photos":
        return ""  # some packaged photos show no class of ImageNet, which is not the user's to mend
    verb = "is" if len(unknown) == 1 else "are"
    share = f"{len(unknown):,} of {len(labels - {''}):,} labels"
    return f"{share} {verb} missing from dataset.hierarchy, or named by several of its nodes: {first}"
