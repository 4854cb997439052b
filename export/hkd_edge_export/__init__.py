"""Turns a trained torch classifier into files that a board can run: ONNX, INT8 ONNX and OpenVINO IR.

Importing this package loads none of torch, onnx, nncf or openvino; import the module that does the work:

    from hkd_edge_export.spec import ExportSpec
    from hkd_edge_export.to_onnx import to_onnx
    from hkd_edge_export.quantize import quantize_int8
    from hkd_edge_export.to_openvino import to_openvino
"""

from hkd_edge_runtime.telemetry import block_telemetry

# Here, before any module of this package imports ONNX Runtime, OpenVINO or NNCF, some through other packages.
block_telemetry()
