"""Writers of ONNX nodes, a file for each kind of operator.

``WRITERS`` are joined in ``export.onnx.operators``, ``FLOAT_WRITERS`` in
``export.onnx.float_operators``.
"""
