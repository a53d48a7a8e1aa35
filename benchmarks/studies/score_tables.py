"""The answer as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.studies.answer import BEHAVIOURS, Answer, label
from benchmarks.studies.behaviours import SAMPLED
from benchmarks.studies.cell import WANTED_SCORE, Method
from benchmarks.studies.question import BALANCE, CLONING, DECISION
from benchmarks.studies.statistics import FEWEST, Estimate, interquartile_mean, probability_of_improvement
from benchmarks.studies.tables import interval, listed, minus, table
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import normalized_score
from cartpole_phys.memory import FloatArray

MISSING, FEW = "missing", "few seeds"
BETTER, WORSE, OPEN = "+", "−", "·"


def scores(answer: Answer, task: str) -> str:
    """Behaviours and methods on a task's tiers; bold is better than both behaviours and cloning."""
    tiers = answer.tiers[task]
    headings = ["", *(label(tier, task) for tier in tiers)]
    rows = [["the data's episodes", *(minus(f"{answer.made(tier):.1f}") for tier in tiers)]]
    rows += [[name, *(estimated(answer.behaviour(tier, name)) for tier in tiers)] for name in BEHAVIOURS]
    return table(headings, [*rows, *_method_rows(answer, tiers, answer.question.methods)])


def regimes(answer: Answer) -> str:
    """What single qualities of the heuristic teach, beside all of them together."""
    tiers = [*answer.question.regimes, answer.question.tier(BALANCE, "mixed")]
    return table(
        ["", *(tier.tier for tier in tiers)], _method_rows(answer, tiers, answer.question.regime_methods)
    )


def stitching(answer: Answer) -> str:
    """What is made of pieces that go on from one another."""
    tier = answer.question.stitching
    asked = answer.summary.of(tier, answer.question.named(DECISION))
    best = f"{normalized_score(tier.env_id, asked[0]['played'][-1]['target']):.1f}" if asked else MISSING
    rows = [["the best of the data's episodes", best]]
    rows += (
        [["the expert whose pieces they are", estimated(answer.behaviour(tier, SAMPLED))]] if asked else []
    )
    return table(["", "score"], [*rows, *_method_rows(answer, [tier], answer.question.methods)])


def planners(answer: Answer) -> str:
    """The planners as the matrix has them, and with their authors' plans."""
    tiers, full = answer.question.planned, answer.question.planners
    short = [method for method in answer.question.methods if method.slow]
    names = ["", *(label(tier, "") for tier in tiers)]
    return table(names, _method_rows(answer, tiers, (*short, *full)))


def _method_rows(answer: Answer, tiers: Iterable[Recipe], methods: Iterable[Method]) -> list[list[str]]:
    return [[method.name, *(_told(answer, tier, method) for tier in tiers)] for method in methods]


def _told(answer: Answer, tier: Recipe, method: Method) -> str:
    told = estimated(answer.method(tier, method), answer.question.protocol.seeds)
    known = tier in answer.all_tiers
    return f"**{told}**" if known and answer.beats_all(tier, method) else told


def estimated(runs: FloatArray, seeds: int = 0) -> str:
    """The interquartile mean of scores (runs, tasks); where there are not all ``seeds``, how many there are.

    Too few have no interval.
    """
    if not len(runs):
        return MISSING
    few = len(runs) < FEWEST
    told = minus(f"{interquartile_mean(runs).value:.1f}") if few else interval(interquartile_mean(runs))
    return f"{told}, seeds: {len(runs)}" if few or len(runs) < seeds else told


def beaten(answer: Answer) -> str:
    """Whether each method is better than the behaviour sampled, its mean action, and cloning, in signs."""
    headings = [f"{task}: {label(tier, task)}" for task, tiers in answer.tiers.items() for tier in tiers]
    rows = [
        [method.name, *(" ".join(map(_sign, answer.beaten(tier, method).values()))
                        or _absent(answer, tier, method) for tier in answer.all_tiers)]
        for method in answer.question.methods
    ]  # fmt: skip
    legend = (
        f"{BETTER} better, {WORSE} worse, {OPEN} undecided: than {listed(BEHAVIOURS)}, and than {CLONING}, "
        f"in this order, by the 95 % interval of the difference; from {FEWEST} seeds on."
    )
    return "\n".join([table(["", *headings], rows), "", legend + _unfinished(answer)])


def winners(answer: Answer) -> str:
    """Who is better than all three, task by task, as a list."""
    methods = [method for method in answer.question.methods if method.name != CLONING]
    lines = []
    for task, tiers in answer.tiers.items():
        told: dict[str, list[str]] = {}  # tiers by what is said of them
        for tier in tiers:
            best = [method.name for method in methods if answer.beats_all(tier, method)]
            few = any(not answer.beaten(tier, method) for method in methods)
            names = listed(best) if best else "nobody so far" if few else "nobody"
            told.setdefault(names, []).append(label(tier, task))
        words = "; ".join(f"{names} on {listed(on)}" for names, on in told.items())
        lines.append(f"- In {task}, better than both behaviours and than {CLONING}: {words}.")
    return "\n".join(lines)


def _absent(answer: Answer, tier: Recipe, method: Method) -> str:
    """Why there is no difference to tell."""
    return FEW if len(answer.method(tier, method)) else MISSING


def _sign(estimate: Estimate) -> str:
    return BETTER if estimate.low > 0 else WORSE if estimate.high < 0 else OPEN


def differences(answer: Answer, task: str) -> str:
    """By how much each method is better than each of the three."""
    rows = []
    for tier in answer.tiers[task]:
        for method in answer.question.methods:
            told = [interval(estimate) for estimate in answer.beaten(tier, method).values()]
            told = told or [_absent(answer, tier, method)]
            rows.append([f"{label(tier, task)}: {method.name}", *told, *[""] * (3 - len(told))])
    return table(["", *(f"minus {name}" for name in (*BEHAVIOURS, CLONING))], rows)


def overall(answer: Answer) -> str:
    """Each method over all tiers of a task, and how probably a run of it is better than a clone's."""
    rows, seeds = [], answer.question.protocol.seeds
    clones = answer.together(answer.all_tiers, answer.question.named(CLONING))
    for method in answer.question.methods:
        cells = [estimated(answer.together(tiers, method), seeds) for tiers in answer.tiers.values()]
        own = answer.together(answer.all_tiers, method)
        compared = min(len(own), len(clones)) >= FEWEST and method.name != CLONING
        better = interval(probability_of_improvement(own, clones), 2) if compared else ""
        rows.append([method.name, *cells, estimated(own, seeds), better])
    return table(["", *answer.tiers, "all", f"better than {CLONING}, probability"], rows)


def note(answer: Answer) -> str:
    """What the figures are."""
    machines, dates = answer.summary.made()
    protocol = answer.question.protocol
    slow = listed([method.name for method in answer.question.methods if method.slow])
    return (
        f"Interquartile mean of {protocol.seeds} training seeds with its 95 % interval; each seed is the "
        f"mean of {protocol.episodes} episodes, of {protocol.slow_episodes} for {slow}, played by the last "
        f"checkpoint. The {DECISION} is asked for a score of {WANTED_SCORE:.0f}. "
        f"Bold: the interval of the difference to both behaviours and to {CLONING} is above zero. "
        f"`python -m benchmarks.scores`: {machines}, {dates}."
    ) + _unfinished(answer)


def _unfinished(answer: Answer) -> str:
    """How many cells there are not yet, as a sentence that follows others."""
    cells, missing = len(answer.question.cells), len(answer.summary.missing)
    return f" {missing:,} of {cells:,} cells are not finished yet; the tables say which." if missing else ""
