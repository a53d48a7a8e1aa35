"""Figure of attention maps, with a panel per layer and head."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

from cartpole_phys.utils.files import atomic_file
from dt.attention.maps import ACTION, OBSERVATION, REWARD, VALUE, AttentionMaps
from dt.plotting import pyplot

COLORS = {
    OBSERVATION: "#56b4e9",
    ACTION: "#e69f00",
    "return": "#009e73",
    REWARD: "#cc79a7",
    VALUE: "#999999",
    "step": "#777777",
}
PANEL, NARROWEST = 2.4, 6.0  # inches: panel size, minimum figure width


def save_maps(maps: AttentionMaps, title: str, path: Path) -> None:
    """Plot the mean attention map of each head, above a strip that shows the kinds of tokens.

    Brightness is attention relative to uniform attention, so that rows with few and many tokens compare.

    Raises:
        InputError: if Matplotlib is not installed.
    """
    plt = pyplot()
    from matplotlib.patches import Patch, Rectangle

    mean = maps.weights.float().mean(dim=0).cpu()  # (L, H, Q, T)
    layers, heads, queries, _ = mean.shape
    size = (max(PANEL * heads + 1, NARROWEST), PANEL * layers + 1)
    figure, axes = plt.subplots(layers, heads, figsize=size, squeeze=False, layout="constrained")
    strip = max(queries // 12, 1)  # rows
    for layer, head in ((layer, head) for layer in range(layers) for head in range(heads)):
        panel = axes[layer, head]
        shown = mean[layer, head] * maps.allowed.sum(dim=1, keepdim=True)  # (Q, T)
        panel.imshow(shown, aspect="auto", cmap="magma", vmin=0.0, vmax=float(shown.max()))
        for kind, first, last in _runs(maps.kinds):
            panel.add_patch(Rectangle((first - 0.5, queries - 0.5), last - first, strip, color=COLORS[kind]))
        panel.set(ylim=(queries + strip - 0.5, -0.5), yticks=[], xticks=[])
        panel.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8)
    figure.supylabel("query tokens, oldest first", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.legend(
        handles=[Patch(color=COLORS[kind], label=kind) for kind in dict.fromkeys(maps.kinds)],
        title="key tokens, oldest first; attention from black (0) to white (maximum)",
        loc="outside lower center",
        ncols=len(COLORS),
        fontsize=8,
        title_fontsize=9,
    )
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)


def _runs(kinds: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """Runs of adjacent tokens of one kind: kind, first position, and position after the last."""
    names = [(kind, len(list(run))) for kind, run in groupby(kinds)]
    ends = [sum(count for _, count in names[:number]) for number in range(len(names) + 1)]
    return [(kind, *ends) for (kind, _), ends in zip(names, pairwise(ends), strict=True)]
