"""The commands: ``cartpole-phys build``, also as ``build-dataset``, ``check`` and ``play``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cartpole_phys import commands
from cartpole_phys.data.build import Built
from cartpole_phys.data.build import build as build_recipe
from cartpole_phys.data.check import FAILED, PASSED, GateResult, check
from cartpole_phys.data.recipe import DEFAULT_STEPS, Recipe
from cartpole_phys.data.tiers import TIERS, default_tier
from cartpole_phys.errors import InputError
from cartpole_phys.play import DEFAULT_ENV, SHOVE_SHARE, Game, Playing, cast_for, play_in_window
from cartpole_phys.policies.named import NAMES

POLICIES = ", ".join(TIERS)
TIER_HELP = "; ".join(f"{policy}: {', '.join(tiers)}" for policy, tiers in TIERS.items())
FAILED_CHECK = 1  # exit code

app = typer.Typer(
    help="CartPole physics: build and check offline-RL data sets, watch policies at work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def parse_env_kwargs(text: str) -> dict[str, Any]:
    """Environment arguments from a JSON object.

    Raises:
        InputError: if the text is not a JSON object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"Expected --env-kwargs as a JSON object, got {text!r} ({error}).") from error
    if not isinstance(value, dict):
        raise InputError(
            f'Expected --env-kwargs as a JSON object like {{"integrator": "euler"}}, got {text!r}.'
        )
    return value


@app.command("build")
def build(
    policy: Annotated[str, typer.Option(help=f"What acts: {POLICIES}.")] = "sac",
    tier: Annotated[str | None, typer.Option(help=f"How well it acts. {TIER_HELP}.")] = None,
    env: Annotated[str, typer.Option(help="Environment id.")] = "PhysCartPole-v0",
    env_kwargs: Annotated[str, typer.Option(help="Environment arguments as JSON.")] = "{}",
    name: Annotated[str | None, typer.Option(help="File name without its ending.")] = None,
    steps: Annotated[int, typer.Option(help="Number of transitions.")] = DEFAULT_STEPS,
    seed: Annotated[int, typer.Option(help="Decides every random choice, training included.")] = 0,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic/--stochastic", help="Mean action of a trained agent, or sampled ones."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the file.")] = Path("."),
    retrain: Annotated[bool, typer.Option(help="Train the agent anew even if it is in the cache.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a file of the same name.")] = False,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build an offline-RL data set as D4RL HDF5, and check it."""
    tier = default_tier(policy) if tier is None else tier
    recipe = Recipe(env, policy, tier, steps, seed, parse_env_kwargs(env_kwargs), deterministic)
    with commands.ProgressBar(quiet or as_json) as progress:
        built = build_recipe(recipe, out, name, retrain, overwrite, progress)
    print(json.dumps({**asdict(built), "path": str(built.path)}) if as_json else _summary(built))


def _summary(built: Built) -> str:
    return (
        f"{built.path}\n"
        f"  {built.transitions:,} transitions in {built.episodes:,} episodes\n"
        f"  mean return {built.mean_return:.1f}, normalized score {built.score:.1f}\n"
        f"  sha256 {built.sha256} (metadata with all array hashes)"
    )


@app.command("check")
def check_file(
    file: Annotated[Path, typer.Argument(help="A D4RL HDF5 file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Run every gate on a data set; exit code 1 if one fails."""
    results = check(file)
    if as_json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print("\n".join(_line(result) for result in results))
    if any(result.status == FAILED for result in results):
        sys.exit(FAILED_CHECK)


def _line(result: GateResult) -> str:
    mark = {PASSED: "✓", FAILED: "✗"}.get(result.status, "–")
    return f"{mark} {result.gate:<11} {result.status}: {result.detail}"


@app.command("play")
def play(
    policy: Annotated[
        str | None,
        typer.Option(
            help=f"What acts: {', '.join(NAMES)}, a data set's FILE (what acted in it), or MODULE:FACTORY, "
            "called without arguments or else with the system. By default lqr, or swing-up."
        ),
    ] = None,
    env: Annotated[
        str | None, typer.Option(help=f"Environment id; by default FILE's own or {DEFAULT_ENV}.")
    ] = None,
    env_kwargs: Annotated[str, typer.Option(help="Environment arguments as JSON.")] = "{}",
    seed: Annotated[int, typer.Option(help="Decides start states and every other chance.")] = 0,
    shove: Annotated[
        float | None,
        typer.Option(help="Newtons on the cart while an arrow key is held; by default half the full force."),
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="End after so many episodes.")] = None,
) -> None:
    """Watch a policy in a window, in real time, and shove the cart.

    The arrow keys shove it left and right, R begins the next episode, Space pauses, Escape or Q ends.
    """
    cast = cast_for(policy, env, parse_env_kwargs(env_kwargs))
    game = Game(cast.system, cast.policy, seed)
    strength = SHOVE_SHARE * cast.system.params.force_mag if shove is None else shove
    play_in_window(game, Playing(game, strength, episodes), cast.name)


def main() -> None:
    """Entry point of ``cartpole-phys``."""
    commands.run(app)


def build_dataset_main() -> None:
    """Entry point of ``build-dataset``, which is ``cartpole-phys build``."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(build)
    commands.run(single)
