"""The answer as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.studies.answer import BEHAVIORS, Answer, heading, label
from benchmarks.studies.behaviors import BEST, RANDOM, SAMPLED
from benchmarks.studies.cell import BEST_WISH, WANTED_SCORE, Method
from benchmarks.studies.question import BALANCE, CLONING, DECISION
from benchmarks.studies.statistics import (
    ENOUGH,
    FEWEST,
    Estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
)
from benchmarks.studies.tables import REMEASURED, interval, listed, minus, table
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import normalized_score
from cartpole_phys.utils.typing import FloatArray

MISSING, FEW = "missing", "few seeds"
BETTER, WORSE, OPEN = "+", "−", "·"


def scores(answer: Answer, task: str) -> str:
    """Behaviors and methods on a task's tiers; bold is better than both behaviors and cloning."""
    tiers = answer.tiers[task]
    rows = [["transitions", *(f"{answer.transitions(tier):,}" for tier in tiers)]]
    rows += [["mean score of the data", *(minus(f"{answer.made(tier):.1f}") for tier in tiers)]]
    rows += [
        [name, *(estimated(answer.behavior(tier, name)) for tier in tiers)]
        for name in (RANDOM, *BEHAVIORS, BEST)
    ]
    methods = answer.question.methods
    for method, (name, *told) in zip(methods, _method_rows(answer, tiers, methods), strict=True):
        bold = [
            f"**{one}**" if answer.beats_all(tier, method) else one
            for one, tier in zip(told, tiers, strict=True)
        ]
        rows.append([name, *bold])
        if method.name == DECISION:  # judged by one wish for all tiers, chosen beforehand
            ((_, *asked),) = _method_rows(answer, tiers, [method], BEST_WISH)
            rows.append([f"{name}, conditioned on the best return of the data", *asked])
    return table(["", *(heading(answer, label(tier), tier) for tier in tiers)], rows)


def regimes(answer: Answer) -> str:
    """What single qualities of the heuristic teach, beside all of them together."""
    tiers = [*answer.question.regimes, answer.question.tier(BALANCE, "mixed")]
    return table(
        ["", *(heading(answer, tier.tier, tier) for tier in tiers)],
        _method_rows(answer, tiers, answer.question.regime_methods),
    )


def stitching(answer: Answer) -> str:
    """What is made of pieces that go on from one another."""
    tier = answer.question.stitching
    asked = answer.summary.of(tier, answer.question.named(DECISION))
    best = (
        f"{normalized_score(tier.env_id, asked[0]['played'][BEST_WISH]['target']):.1f}" if asked else MISSING
    )
    rows = [["best episode of the data", best]]
    rows += [["expert whose episodes are cut", estimated(answer.behavior(tier, SAMPLED))]] if asked else []
    return table(
        ["", heading(answer, "score", tier)], [*rows, *_method_rows(answer, [tier], answer.question.methods)]
    )


def planners(answer: Answer) -> str:
    """The planners as the matrix has them, and with longer plans."""
    tiers, full = answer.question.planned, answer.question.planners
    short = [method for method in answer.question.methods if method.slow]
    names = [heading(answer, f"{BALANCE}: {label(tier)}", tier) for tier in tiers]
    return table(["", *names], _method_rows(answer, tiers, (*short, *full)))


def _method_rows(
    answer: Answer, tiers: Iterable[Recipe], methods: Iterable[Method], wish: int = 0
) -> list[list[str]]:
    seeds = answer.question.protocol.seeds
    return [
        [method.name, *(estimated(answer.method(tier, method, wish), seeds) for tier in tiers)]
        for method in methods
    ]


def estimated(
    runs: FloatArray, seeds: int = 0, statistic: Callable[[FloatArray], Estimate] = interquartile_mean
) -> str:
    """What scores (runs, tasks) tell together; where there are not all ``seeds``, how many there are.

    Too few have no interval.
    """
    if not len(runs):
        return MISSING
    estimate, few = statistic(runs), len(runs) < FEWEST
    told = minus(f"{estimate.value:.1f}") if few else interval(estimate)
    return f"{told}, seeds: {len(runs)}" if few or len(runs) < seeds else told


def beaten(answer: Answer) -> str:
    """Whether each method is better than the behavior sampled, its mean action, and cloning, in signs."""
    headings = [
        heading(answer, f"{task}: {label(tier)}", tier)
        for task, tiers in answer.tiers.items()
        for tier in tiers
    ]
    rows = [
        [method.name, *(" ".join(map(_sign, answer.beaten(tier, method).values()))
                        or _absent(answer, tier, method) for tier in answer.all_tiers)]
        for method in answer.question.methods
    ]  # fmt: skip
    legend = (
        f"{BETTER} better, {WORSE} worse, {OPEN} undecided, by the 95 % interval of the difference. First "
        f"sign: against the behavior policy with sampled actions; second: against its mean action; third: "
        f"against {CLONING}, whose own row has only the first two. Signs need at least {ENOUGH} seeds."
    )
    return "\n".join([table(["", *headings], rows), "", legend + _remeasured(answer) + _unfinished(answer)])


def winners(answer: Answer) -> str:
    """Who is better than all three, task by task, as a list; so far, where others have too few seeds."""
    methods = [method for method in answer.question.methods if method.name != CLONING]
    lines = []
    for task, tiers in answer.tiers.items():
        told: dict[str, list[str]] = {}  # tiers by what is said of them
        for tier in tiers:
            best = [method.name for method in methods if answer.beats_all(tier, method)]
            few = any(not answer.beaten(tier, method) for method in methods)
            names = (listed(best) if best else "no method") + (" so far" if few else "")
            told.setdefault(names, []).append(label(tier))
        words = "; ".join(f"{names} on {listed(on)}" for names, on in told.items())
        task = heading(answer, task, *tiers)
        lines.append(
            f"- {task}, better than the behavior policy (sampled and mean action) and {CLONING}: {words}."
        )
    return "\n".join(lines)


def _absent(answer: Answer, tier: Recipe, method: Method) -> str:
    """Why there is no difference to tell."""
    return FEW if len(answer.method(tier, method)) else MISSING


def _sign(estimate: Estimate) -> str:
    return BETTER if estimate.above else WORSE if estimate.below else OPEN


def differences(answer: Answer, task: str) -> str:
    """By how much each method is better than each of the three."""
    rows = []
    for tier in answer.tiers[task]:
        for method in answer.question.methods:
            told = [interval(estimate) for estimate in answer.beaten(tier, method).values()]
            told = told or [_absent(answer, tier, method)]
            rows.append([f"{label(tier)}: {method.name}", *told, *[""] * (3 - len(told))])
    names = (heading(answer, f"minus {name}", *answer.tiers[task]) for name in (*BEHAVIORS, CLONING))
    return table(["", *names], rows)


def overall(answer: Answer) -> str:
    """Each method over all tiers of a task, and how probably a run of it is better than a clone's."""
    rows, seeds = [], answer.question.protocol.seeds
    groups = {**answer.tiers, "all": answer.all_tiers}
    statistics = {"mean": mean, "interquartile mean": interquartile_mean}
    clones = answer.together(answer.all_tiers, answer.question.named(CLONING))
    for method in answer.question.methods:
        known = [answer.together(tiers, method) for tiers in groups.values()]
        cells = [estimated(runs, seeds, statistic) for runs in known for statistic in statistics.values()]
        runs = min(len(known[-1]), len(clones))
        compared = runs >= FEWEST and method.name != CLONING
        better = interval(probability_of_improvement(known[-1], clones), 2) if compared else ""
        better += f", seeds: {runs}" if compared and runs < seeds else ""
        rows.append([method.name, *cells, better])
    headings = [
        heading(answer, f"{group}: {name}", *tiers) for group, tiers in groups.items() for name in statistics
    ]
    probability = heading(answer, f"probability of improvement over {CLONING}", *answer.all_tiers)
    return table(["", *headings, probability], rows)


def note(answer: Answer) -> str:
    """What the figures are."""
    machines, dates = answer.summary.made()
    protocol = answer.question.protocol
    slow = listed([method.name for method in answer.question.methods if method.slow])
    told = (
        f"Interquartile mean of {protocol.seeds} training seeds with its 95 % interval; each seed is the "
        f"mean of {protocol.episodes} episodes, of {protocol.slow_episodes} for {slow}, of the last "
        f"checkpoint. Behavior policies, which are not trained, are evaluated on the start states of every "
        f"seed. The {DECISION} is conditioned on a score of {WANTED_SCORE:.0f}. Bold: the intervals of the "
        f"differences to the behavior policy, sampled and mean action, and to {CLONING} are above zero. "
        f"`python -m benchmarks.scores`: {machines}, {dates}."
    )
    return told + _remeasured(answer) + _unfinished(answer)


def _remeasured(answer: Answer) -> str:
    """Why columns are marked, as a sentence that follows others."""
    if not any(map(answer.summary.remeasured, answer.all_tiers)):
        return ""
    return (
        f' Columns marked "{REMEASURED}" compare methods that were trained on different episodes: some used '
        "the episodes cut off at the end of collection, others did not."
    )


def _unfinished(answer: Answer) -> str:
    """How many cells there are not yet, as a sentence that follows others."""
    cells, missing = len(answer.question.cells), len(answer.summary.missing)
    return f" {missing:,} of {cells:,} cells are not finished yet; the tables mark them." if missing else ""
