"""What every stage is given: the recipe, the run directory, the device, who is told, and the data once loaded."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hkd_edge.data.dataset import Dataset, Split
from hkd_edge.data.load import load_data
from hkd_edge.recipe import Recipe
from hkd_edge.report.progress import Reporter
from hkd_edge_runtime.hierarchy import Hierarchy

if TYPE_CHECKING:
    import torch

    from hkd_edge.data.resident import ResidentData
    from hkd_edge.train.team import Team


class Context:
    """One run. What costs time (the data set, the device's copy of it) is made when first asked for.

    The processes of `team` train together; None is this process alone.
    """

    def __init__(self, recipe: Recipe, run: Path, reporter: Reporter, team: Team | None = None) -> None:
        self.recipe = recipe
        self.run = run
        self.reporter = reporter
        self._team = team

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The recipe's data set, loaded whole."""
        return load_data(self.recipe.data, self.recipe.data_root, self.reporter.work)

    @functools.cached_property
    def device(self) -> torch.device:
        """The device that trains."""
        from hkd_edge.train.device import select_device

        return select_device(self.recipe.device, self.team)

    @property
    def team(self) -> Team:
        """The processes that train together."""
        from hkd_edge.train.team import ALONE

        return self._team or ALONE

    def dismiss_team(self) -> None:
        """Lets the other processes go; from here on this one is alone."""
        self.team.tell(None)
        self.team.leave()
        self._team = None

    @functools.cached_property
    def precision(self) -> str:
        """The precision of training: fp32 or bf16."""
        from hkd_edge.train.device import select_precision

        return select_precision(self.recipe.precision, self.device)

    @functools.cached_property
    def resident(self) -> ResidentData:
        """The data on the training device, split as the data stage has written it."""
        from hkd_edge.data.resident import ResidentData

        recipe = self.recipe
        how = (recipe.augment, recipe.seed, self.device)
        return ResidentData(self.dataset, self.split(), *how, balance=recipe.data.balance)

    def split(self) -> Split:
        """The split that the data stage has written."""
        with np.load(self.run / "data" / "split.npz", allow_pickle=False) as stored:
            return Split(stored["train"], stored["validation"], stored.get("labelled"))

    def hierarchy(self) -> Hierarchy:
        """The hierarchy that the concepts stage has written."""
        return Hierarchy.from_dict(self.read_json("concepts/hierarchy.json"))

    def read_json(self, name: str) -> Any:
        """What an earlier stage has written to the file `name` of the run directory."""
        return json.loads((self.run / name).read_text(encoding="utf-8"))
