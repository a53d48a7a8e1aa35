"""The training loop: bit-for-bit resuming, optimizer, schedules and decreasing losses."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cartpole_phys.utils.errors import InputError
from dt.data.source import describe
from dt.data.windows import Normalization
from dt.models.recipes import KINDS, RECIPES, create, recipe
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import Checkpoint
from dt.training.loop import best, train
from dt.training.optimizer import (
    BFLOAT16,
    FLOAT32,
    TrainConfig,
    Trainer,
    faster_dtype,
    learning_rate,
    with_steps,
)
from tests.support.small_models import CONTINUOUS, DISCRETE, make_episodes, small_recipe

CPU = torch.device("cpu")


def assert_same(first: Checkpoint, second: Checkpoint) -> None:
    assert first.step == second.step
    weights, others = first.model.state_dict(), second.model.state_dict()
    assert weights.keys() == others.keys()
    assert first.training.keys() == second.training.keys()
    for name in weights:
        assert torch.equal(weights[name], others[name]), name
    for name in first.training:
        assert torch.equal(first.training[name], second.training[name]), name


@pytest.mark.parametrize("kind", ["decision", "reinformer", "trajectory", "energy", "bc"])
@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_resuming_is_bit_for_bit_reproducible(kind: str, dtype: str, schedule: str, tmp_path: Path) -> None:
    episodes, chosen = make_episodes(), small_recipe(kind, dtype=dtype, schedule=schedule)
    straight = train(episodes, chosen)
    done: list[int] = []
    stopped = train(episodes, chosen, tmp_path / "run", should_stop=lambda: done.append(1) or len(done) == 10)  # type: ignore[func-returns-value]
    assert stopped.step == 10
    torch.manual_seed(99)
    assert_same(straight, train(episodes, chosen, tmp_path / "run", resume=True))
    assert_same(straight, checkpoints.load(tmp_path / "run"))


def test_finished_run_can_be_extended(tmp_path: Path) -> None:
    episodes = make_episodes()
    train(episodes, small_recipe(steps=10), tmp_path / "run", save_every=4)
    longer = train(episodes, small_recipe(steps=20), tmp_path / "run", resume=True)
    assert_same(longer, train(episodes, small_recipe(steps=20)))
    written = (tmp_path / "run" / checkpoints.CONFIG).stat().st_mtime_ns
    assert train(episodes, small_recipe(steps=20), tmp_path / "run", resume=True).step == 20
    assert (tmp_path / "run" / checkpoints.CONFIG).stat().st_mtime_ns == written


def test_training_is_seeded_and_does_not_affect_the_global_rng() -> None:
    episodes = make_episodes()
    state = torch.get_rng_state()
    first = train(episodes, small_recipe(seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert_same(first, train(episodes, small_recipe(seed=1)))
    other = train(episodes, small_recipe(seed=2))
    assert not torch.equal(first.training["random/sampler"], other.training["random/sampler"])


@pytest.mark.parametrize("env_id", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("kind", ["decision", "bc"])
def test_loss_decreases(env_id: str, kind: str) -> None:
    losses: list[float] = []
    train(
        make_episodes(env_id),
        small_recipe(kind, steps=150, batch_size=32),
        on_progress=lambda step, loss: losses.append(loss),
    )
    assert len(losses) == 15
    # discrete actions are nearly independent of the angle; the loss at chance level is ln 2
    limit = 0.3 * losses[0] if env_id == CONTINUOUS else 0.995 * math.log(2)
    assert np.mean(losses[-3:]) < limit


def test_trajectory_transformer_loss_decreases() -> None:
    losses: list[float] = []
    recipe = small_recipe("trajectory", steps=150, batch_size=32)
    train(make_episodes(), recipe, on_progress=lambda step, loss: losses.append(loss))
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


@pytest.mark.parametrize("decaying", ["all", "matrices"])
def test_weight_decay_applies_to_the_configured_parameters(decaying: str) -> None:
    """Use a learning rate so small that gradient steps are negligible."""

    def trained(decay: float) -> dict[str, Tensor]:
        recipe = small_recipe(
            steps=1, weight_decay=decay, decaying=decaying, learning_rate=1e-6, warmup_steps=0
        )
        return dict(train(make_episodes(steps=300), recipe).model.named_parameters())

    without, with_decay = trained(0.0), trained(1e5)
    moved = {name for name in without if (without[name] - with_decay[name]).abs().max() > 1e-4}
    assert "transformer.blocks.0.inner.weight" in moved
    assert ("tokens.embed_timestep.weight" in moved) == (decaying == "all")
    assert ("tokens.norm.weight" in moved) == (decaying == "all")


@pytest.mark.parametrize("clip", [1e9, 1e-2])
def test_optimizer_is_adam_with_configured_betas_and_clipping(clip: float) -> None:
    episodes, betas = make_episodes(steps=300), (0.7, 0.96)
    chosen, source = small_recipe("bc", betas=betas, clip=clip), describe(episodes)
    model = create("bc", chosen.model, source.spaces)
    sampler = model.sampler(episodes, Normalization.of(episodes, source.spaces), CPU)
    trainer = Trainer(model, sampler, chosen.train)
    batch = sampler.sample(chosen.train.batch_size, trainer.generator.clone_state())
    model.loss(batch).backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    norm = float(torch.cat([one.flatten() for one in gradients.values()]).norm())
    assert norm > 1e-2
    trainer.advance()
    for name, gradient in gradients.items():
        clipped = gradient * min(1.0, clip / norm)
        moments = [trainer.state()[f"{moment}/{name}"] for moment in ("exp_avg", "exp_avg_sq")]
        torch.testing.assert_close(moments[0], (1.0 - betas[0]) * clipped, rtol=1e-3, atol=1e-9)
        torch.testing.assert_close(moments[1], (1.0 - betas[1]) * clipped.square(), rtol=1e-3, atol=1e-12)


def test_learning_rate_warmup_and_schedule() -> None:
    constant = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    assert [learning_rate(constant, step) for step in (0, 4, 9, 10, 99)] == [0.1, 0.5, 1.0, 1.0, 1.0]
    cosine = replace(constant, schedule="cosine")
    assert learning_rate(cosine, 10) == 1.0
    assert learning_rate(cosine, 55) == pytest.approx(0.5)
    assert learning_rate(cosine, 100) == 0.0


def test_dtype_is_recorded() -> None:
    trained = train(make_episodes(), small_recipe(steps=1, dtype="auto"))
    assert trained.recipe.train.dtype == faster_dtype(trained.model, CPU) == FLOAT32
    large = create("decision", RECIPES["decision", "paper"].model, describe(make_episodes()).spaces)
    assert faster_dtype(large, CPU) in (FLOAT32, BFLOAT16)


def test_value_based_methods_default_to_float32() -> None:
    assert {recipe(kind, "tiny").train.dtype for kind in ("iql", "cql", "td3bc")} == {FLOAT32}
    assert recipe("iql", "tiny", dtype=BFLOAT16).train.dtype == BFLOAT16
    assert recipe("decision", "tiny").train.dtype == "auto"


def test_recipes_are_found_by_name() -> None:
    paper = recipe("decision", "paper", seed=3)
    assert (paper.train.learning_rate, paper.train.warmup_steps, paper.train.seed) == (1e-4, 10_000, 3)
    assert recipe("bc", "tiny", steps=7).train.steps == 7
    with pytest.raises(InputError, match=rf"Unknown model 'gpt'; choose from {', '.join(KINDS)}\."):
        recipe("gpt", "tiny")
    with pytest.raises(InputError, match=r"Unknown bc model size 'sliding'; choose from tiny, paper\."):
        recipe("bc", "sliding")
    for name, value in (
        ("steps", 0),
        ("seed", -1),
        ("schedule", "step"),
        ("dtype", "float16"),
        ("epochs", 0),
        ("best_share", 0.0),
        ("best_share", 1.1),
    ):
        with pytest.raises(InputError):
            TrainConfig(**{name: value})  # type: ignore[arg-type]


def test_every_recipe_trains_saves_and_loads(tmp_path: Path) -> None:
    episodes = make_episodes(steps=400)
    for kind, size in RECIPES:
        chosen = replace(RECIPES[kind, size], train=replace(RECIPES[kind, size].train, batch_size=2))
        shorter = replace(chosen, train=replace(chosen.train, steps=1, epochs=None))
        trained = train(episodes, shorter, tmp_path / f"{kind}-{size}")
        assert_same(checkpoints.load(tmp_path / f"{kind}-{size}"), trained)


def test_epochs_are_converted_to_gradient_steps() -> None:
    epochs = TrainConfig(epochs=3, batch_size=8)
    assert with_steps(epochs, 801) == replace(epochs, epochs=None, steps=301)
    assert with_steps(TrainConfig(steps=5), 801).steps == 5
    episodes = make_episodes(steps=400)
    trained = train(episodes, small_recipe(epochs=1, batch_size=100, best_share=0.5))
    steps = math.ceil(best(episodes, 0.5, seed=0).steps / 100)
    assert (trained.recipe.train.steps, trained.recipe.train.epochs, trained.step) == (steps, None, steps)


def test_best_selects_the_fewest_episodes_for_its_share() -> None:
    episodes = make_episodes()
    episodes = episodes.filter(episodes.eligible)
    for share in (0.01, 0.1, 0.5, 0.99):
        chosen = best(episodes, share, seed=0)
        assert chosen.steps >= share * episodes.steps
        worst = int(chosen.returns.argmin())
        assert chosen.steps - chosen.lengths[worst] < share * episodes.steps
        assert chosen.returns.min() >= np.sort(episodes.returns)[-len(chosen)]
    assert len(best(episodes, 1.0, seed=0)) == len(episodes)


def test_ties_between_episodes_are_broken_randomly() -> None:
    """In mixed data, the time limit gives the best episodes of all agents equal returns."""
    episodes = make_episodes()
    episodes = episodes.filter(episodes.complete)
    equal = replace(episodes, rewards=np.zeros_like(episodes.rewards))
    starts = equal.observations[equal.offsets[:-1], 0]
    taken = [np.isin(starts, best(equal, 0.3, seed).observations[:, 0]) for seed in range(200)]
    assert np.mean(taken, axis=0).min() > 0.1
    assert np.array_equal(best(equal, 0.3, 7).observations, best(equal, 0.3, 7).observations)


def test_best_share_equals_training_on_the_selected_episodes() -> None:
    episodes = make_episodes()
    share = train(episodes, small_recipe("bc", best_share=0.3))
    selected = train(best(episodes, 0.3, seed=0), small_recipe("bc"))
    for name, weight in share.model.state_dict().items():
        assert torch.equal(weight, selected.model.state_dict()[name])


def test_diverged_model_does_not_replace_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Divergence is detected between two loss reports, too."""
    advance = Trainer.advance

    def diverging(trainer: Trainer) -> Tensor:
        loss = advance(trainer)
        return loss * float("nan") if trainer.step == 12 else loss

    monkeypatch.setattr(Trainer, "advance", diverging)
    with pytest.raises(InputError, match="got nan at step 14"):
        train(make_episodes(), small_recipe(steps=30), tmp_path / "run", save_every=7)
    assert checkpoints.load(tmp_path / "run").step == 7


def test_non_finite_loss_ends_training() -> None:
    with pytest.raises(InputError, match="lower the learning rate"):
        train(make_episodes(), small_recipe(learning_rate=1e30, clip=1e30, warmup_steps=0))
    with pytest.raises(InputError, match="every 1 or more steps"):
        train(make_episodes(), small_recipe(), save_every=0)
