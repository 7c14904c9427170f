"""C for the contract: the input of an example has the integers of QUANTIZE."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import ChannelOrder, Crop, Preprocessing
from export.c.contract import contract_lines
from export.c.names import Prefix
from network.affine import QuantParams
from tests.export.c.compiled import COMPILER, STRICT, needs_compiler

PARAMS = QuantParams((0.0173,), (-5,))
IMAGE = Preprocessing(
    size=(3, 4), crop=Crop.STRETCH, mean=(120.0, 110.0, 100.0), std=(60.0, 61.0, 62.0),
    labels=("cat", 'a "b" ??/', "é"),
)  # fmt: skip
BGR = Preprocessing(
    size=(3, 4), crop=Crop.STRETCH, mean=(1.0, 2.0, 3.0), std=(90.0, 80.0, 70.0),
    channels=ChannelOrder.BGR,
)  # fmt: skip
ARRAY = Preprocessing.of_arrays((7, 3))
MAIN = """
#include <stdio.h>
static TYPE values[COUNT];
static int8_t in[NET_INPUT_BYTES];
int main(void) {
  if (fread(values, sizeof(TYPE), COUNT, stdin) != COUNT) return 1;
  net_fill_input(values, in);
  return fwrite(in, 1, sizeof in, stdout) != sizeof in;
}
"""


@needs_compiler
@pytest.mark.parametrize("contract", [IMAGE, BGR, ARRAY], ids=["RGB", "BGR", "array"])
def test_the_input_has_the_integers_of_quantize(contract: Preprocessing, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shape = contract.shape
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    values = rng.normal(0, 2, shape).astype(np.float32) if contract.plain else pixels
    extra = contract_lines(contract, PARAMS, labelled=True)
    count = int(np.prod(shape))
    head = [
        "#include <stdint.h>",
        f"#define NET_INPUT_BYTES {count}",
        f"#define NET_INPUT_SCALE {PARAMS.scale[0]!r}f",
        f"#define NET_INPUT_ZERO_POINT ({PARAMS.zero_point[0]})",
    ]
    kind = "float" if contract.plain else "uint8_t"
    main = MAIN.replace("COUNT", str(count)).replace("TYPE", kind)
    source = tmp_path / "fill.c"
    text = "\n".join([*head, *extra.header, *extra.source, main])
    source.write_text(Prefix("one").applied(text), encoding="ascii")
    program = tmp_path / "fill"
    subprocess.run([str(COMPILER), *STRICT, "-o", str(program), str(source)], check=True)
    done = subprocess.run([str(program)], input=values.tobytes(), capture_output=True, check=True)
    expected = PARAMS.quantize(contract.normalize(values))
    assert np.array_equal(np.frombuffer(done.stdout, np.int8), expected.reshape(-1))
