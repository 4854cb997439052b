"""Distils RECIPE into RUN with at most so many MB of memory beside what the imports take.

python distil_within_limit.py RECIPE RUN MB
"""

import importlib
import resource
import sys
from pathlib import Path

import torch
from rich.console import Console

from hkd_edge.data.memory import _used_bytes
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter

if __name__ == "__main__":
    torch.set_num_threads(1)
    # What a first step imports and loads is none of the images' memory.
    layer = torch.nn.Conv2d(1, 1, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, foreach=True)
    layer(torch.zeros(1, 1, 8, 8)).sum().backward()
    optimizer.step()
    importlib.import_module("torch._dynamo")
    limit = (_used_bytes("VmData") or 0) + int(sys.argv[3]) * 10**6
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    reporter = Reporter(Console(stderr=True))
    run_pipeline(load_recipe(sys.argv[1]), Path(sys.argv[2]), reporter, until="distill", resume=True)
