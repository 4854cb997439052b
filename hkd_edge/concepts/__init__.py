"""Hierarchies of concepts: read from YAML, checked against the classes, measured."""

from hkd_edge.concepts.load import load_hierarchy
from hkd_edge.concepts.measure import AxisMeasures, HierarchyMeasures, measure

__all__ = ["AxisMeasures", "HierarchyMeasures", "load_hierarchy", "measure"]
