"""How much two rankings of examples have in common. Pure.

rank_biased_overlap(["a", "b", "c"], ["a", "c", "d"])       # 1 is the same ranking, 0 nothing in common
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

PERSISTENCE = 0.9
"""The p of rank-biased overlap: the chance that a reader who has seen a rank goes on to the next. The first nine ranks
then have 86 % of the weight that all agreement beyond them could have (Webber et al. 2010, equation 21)."""


def jaccard(first: Collection[str], second: Collection[str]) -> float | None:
    """Return the share of the examples of both that are in both, 0..1; None where there are none."""
    together = {*first, *second}
    return len({*first} & {*second}) / len(together) if together else None


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], *, p: float = PERSISTENCE) -> float | None:
    """Return the rank-biased overlap of two rankings, best first, 0..1; None where one of them is empty.

    Agreement at higher ranks weighs more. The lists are the tops of longer rankings; what lies below is taken to agree
    as much as what is seen: RBO_ext (Webber, Moffat and Zobel 2010, equation 32). No example is twice in a ranking.
    """
    short, long = sorted((list(first), list(second)), key=len)
    s, depth = len(short), len(long)
    if not s:
        return None
    overlap = [0, *(len({*short[:d]} & {*long[:d]}) for d in range(1, depth + 1))]
    seen = sum(overlap[d] / d * p**d for d in range(1, depth + 1))
    assumed = sum(overlap[s] * (d - s) / (s * d) * p**d for d in range(s + 1, depth + 1))
    beyond = ((overlap[depth] - overlap[s]) / depth + overlap[s] / s) * p**depth
    return (1 - p) / p * (seen + assumed) + beyond


def among(ranking: Sequence[str], shared: Collection[str] | None) -> list[str]:
    """Return the ranking of those examples that both datasets have; None stands for all of them."""
    return [name for name in ranking if shared is None or name in shared]
