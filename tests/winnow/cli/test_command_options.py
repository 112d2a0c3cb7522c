"""Command options as one dataclass, in agreement with the plans that they fill."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from winnow.cli.command_options import build, command
from winnow.cli.lab.evaluate import evaluate
from winnow.cli.lab.mine import mine
from winnow.cli.lab.synthesize import labels, passages, queries
from winnow.cli.lab.train import train
from winnow.lab.evaluation import Plan
from winnow.lab.synthesis.plans import LabelPlan, MiningPlan, PassagePlan, QueryPlan
from winnow.lab.training import GatePlan, Hyperparameters, TrainPlan


@dataclass(frozen=True, kw_only=True)
class Limits:
    most: Annotated[int, typer.Option(help="The most.", min=1)] = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    name: Annotated[str, typer.Argument()]
    limits: Limits
    loud: Annotated[bool, typer.Option("--loud")] = False


@dataclass(frozen=True)
class Greeting:
    name: str
    most: int
    mark: str = "."


def test_fields_become_arguments_and_options_those_of_groups_too() -> None:
    """The command gets the dataclass, filled and validated as if the options were its own parameters."""
    app, seen = typer.Typer(), list[Options]()

    @app.command()
    @command
    def greet(options: Options) -> None:
        """Say hello."""
        seen.append(options)

    assert CliRunner().invoke(app, ["Ada", "--most", "7", "--loud"]).exit_code == 0
    assert CliRunner().invoke(app, ["Ada", "--most", "0"]).exit_code == 2
    assert seen == [Options(name="Ada", limits=Limits(most=7), loud=True)]
    assert "Say hello." in CliRunner().invoke(app, ["--help"]).output


def test_a_plan_is_filled_from_the_options_of_its_fields_names() -> None:
    """A plan takes options by field name, from groups too; unknown ones are ignored, defaults stay."""
    options = Options(name="Ada", limits=Limits())
    assert build(Greeting, options) == Greeting("Ada", 3)
    assert build(Greeting, options, mark="!") == Greeting("Ada", 3, "!")


@pytest.mark.parametrize(
    ("run", "plan"),
    [
        (evaluate, Plan),
        (labels, LabelPlan),
        (mine, MiningPlan),
        (passages, PassagePlan),
        (queries, QueryPlan),
        (train, Hyperparameters),
        (train, GatePlan),
        (train, TrainPlan),
    ],
)
def test_options_and_plans_have_the_same_defaults(run: Callable[..., None], plan: type) -> None:
    """An option's default equals the plan's, or is None and leaves it to the plan."""
    options = inspect.signature(command(run)).parameters
    shared = [field for field in fields(plan) if field.name in options and field.default is not MISSING]
    assert shared
    for field in shared:
        default = options[field.name].default
        assert default in (field.default, None, inspect.Parameter.empty), field.name
