"""The section of a recipe that says who beside `metrics.jsonl` is told how trainings go; it changes no result."""

from __future__ import annotations

from hkd_edge.recipe.section import Section, key


class Tracking(Section):
    """Loggers of metrics, all off by default; RUN/metrics.jsonl is always written."""

    tensorboard: bool = key(False, "Whether RUN/tensorboard gets the curves; needs hkd-edge[tensorboard].")
    mlflow: str = key(
        "",
        "Tracking URI of the MLflow that gets the metrics, say sqlite:///mlflow.db (from the current folder) or "
        'http://HOST:5000; "" = none. Needs hkd-edge[mlflow].',
    )
    experiment: str = key("", 'Name of the experiment in MLflow; "" = the name of the recipe.')
