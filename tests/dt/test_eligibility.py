"""Episodes cut by the end of data collection: excluded from training, ranking and scores in all methods."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cartpole_phys.episodes import CUT, Episodes
from dt.data.source import describe
from dt.data.transitions import Transitions
from dt.data.windows import Normalization
from dt.models.recipes import KINDS, create
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import Checkpoint
from dt.training.loop import best, train
from tests.support.small_models import make_episodes, small_recipe

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore")  # internal warnings of TorchRL


def with_cuts() -> Episodes:
    """Return data with two cut episodes: one in the middle, and the best one at the end."""
    whole = make_episodes()
    whole = whole.filter(whole.complete)
    longest = int(whole.lengths.argmax())
    order = [*(i for i in range(len(whole)) if i != longest), longest]
    episodes = whole.select(order).head(whole.steps - 1)
    cuts, truncations = episodes.infos[CUT].copy(), episodes.truncations.copy()
    terminations, row = episodes.terminations.copy(), int(episodes.offsets[3]) - 1
    cuts[row] = truncations[row] = True
    terminations[row] = False
    cut = replace(episodes, infos={CUT: cuts}, truncations=truncations, terminations=terminations)
    assert np.flatnonzero(~cut.complete).tolist() == [2, len(cut) - 1]
    assert cut.returns.argmax() == len(cut) - 1
    return cut


def all_cut() -> Episodes:
    """Return data whose only episode is cut."""
    episodes = make_episodes(steps=20)
    assert not episodes.complete.any()
    return episodes


def assert_same(first: Checkpoint, second: Checkpoint) -> None:
    assert first.normalization == second.normalization
    weights, others = first.model.state_dict(), second.model.state_dict()
    assert weights.keys() == others.keys()
    for name in weights:
        assert torch.equal(weights[name], others[name]), name


@pytest.mark.parametrize("share", [1.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_training_ignores_episodes_cut_by_the_end_of_collection(kind: str, share: float) -> None:
    data, chosen = with_cuts(), small_recipe(kind, steps=3, best_share=share)
    assert_same(train(data, chosen), train(data.filter(data.complete), chosen))


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_draw_eligible_rows_only(kind: str) -> None:
    """Samplers filter rows themselves; ``train`` passes eligible episodes only."""
    for data, complete in ((with_cuts(), True), (all_cut(), False)):
        spaces = describe(data).spaces
        normalization = Normalization.of(data, spaces)
        model = create(kind, small_recipe(kind).model, spaces)
        model.prepare(data, normalization)
        sampler = model.sampler(data, normalization, CPU)
        rows = np.flatnonzero(np.repeat(data.complete == complete, data.lengths))
        assert sampler.start_rows.tolist() == rows.tolist()  # type: ignore[attr-defined]


def test_best_share_is_computed_over_eligible_episodes() -> None:
    data = with_cuts()
    eligible_data = data.filter(data.complete)
    for share in (0.01, 0.1, 0.5, 1.0):
        chosen = best(data, share, seed=0)
        assert chosen.complete.all()
        np.testing.assert_array_equal(chosen.observations, best(eligible_data, share, seed=0).observations)


def test_statistics_use_eligible_episodes_only() -> None:
    data = with_cuts()
    cut_rows = np.repeat(~data.complete, data.lengths)[:, None]
    data = replace(data, observations=np.where(cut_rows, data.observations + 1.0, data.observations))
    eligible_data = data.filter(data.complete)
    spaces = describe(data).spaces
    normalization = Normalization.of(data, spaces)
    assert normalization == Normalization.of(eligible_data, spaces)
    for name in ("min_return", "mean_return", "max_return", "eligible"):
        assert getattr(describe(data), name) == getattr(describe(eligible_data), name)
    scaled = [
        Transitions(one, normalization, CPU, return_span=50.0).rewards.unique()
        for one in (data, eligible_data)
    ]
    assert torch.equal(*scaled)


@pytest.mark.parametrize("kind", ["bc", "td3bc"])
def test_all_episodes_train_if_all_are_cut(kind: str) -> None:
    data = all_cut()
    unmarked = replace(data, infos={}, truncations=data.truncations | data.infos[CUT])
    assert unmarked.complete.any()  # as if a time limit had ended them
    chosen = small_recipe(kind, steps=3)
    assert_same(train(data, chosen), train(unmarked, chosen))


def test_checkpoint_records_the_eligible_episodes(tmp_path: Path) -> None:
    data = with_cuts()
    train(data, small_recipe("bc", steps=1), tmp_path / "run")
    recorded = checkpoints.load(tmp_path / "run").source.eligible
    eligible_data = data.filter(data.complete)
    assert (recorded.episodes, recorded.rows) == (len(eligible_data), eligible_data.steps)
    assert recorded.sha256 == describe(eligible_data).sha256 != describe(data).sha256
    whole = describe(all_cut())
    assert (whole.eligible.episodes, whole.eligible.sha256) == (len(all_cut()), whole.sha256)
    assert whole.eligible.rule != recorded.rule
