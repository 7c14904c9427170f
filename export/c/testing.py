"""Self-test of the generated sources: vectors in C, a program that compares, and a Makefile."""

from __future__ import annotations

import numpy as np

from export.c.names import Prefix
from export.c.weights import numbers

_VECTORS = """\
#include "net_vectors.h"

#include <string.h>

#include "net.h"

static const int8_t inputs[NET_VECTORS][NET_INPUT_BYTES] = {
INPUTS};
static const int8_t outputs[NET_VECTORS][NET_OUTPUT_BYTES] = {
OUTPUTS};
static int8_t found[NET_OUTPUT_BYTES];

int net_self_test(uint8_t *arena) {
  int wrong = 0;
  for (int i = 0; i < NET_VECTORS; ++i) {
    net_run(inputs[i], found, arena);
    wrong += memcmp(found, outputs[i], sizeof found) != 0;
  }
  return wrong;
}
"""
_HEADER = """\
#ifndef NET_VECTORS_H
#define NET_VECTORS_H

#include <stdint.h>

#define NET_VECTORS COUNT

#ifdef __cplusplus
extern "C" {
#endif

/* Number of test vectors whose outputs differ in any bit; the arena has NET_ARENA_BYTES. */
int net_self_test(uint8_t *arena);

#ifdef __cplusplus
}
#endif

#endif
"""
_MAIN = """\
/* Compares the network with its test vectors: those compiled in, or all of two files. */
#include <stdio.h>
#include <string.h>

#include "net.h"
#include "net_vectors.h"

static uint8_t arena[NET_ARENA_BYTES];
static int8_t in[NET_INPUT_BYTES], expected[NET_OUTPUT_BYTES], found[NET_OUTPUT_BYTES];

static int compare(FILE *inputs, FILE *outputs) {
  int count = 0, wrong = 0;
  while (fread(in, 1, sizeof in, inputs) == sizeof in) {
    if (fread(expected, 1, sizeof expected, outputs) != sizeof expected) return -1;
    net_run(in, found, arena);
    wrong += memcmp(found, expected, sizeof found) != 0;
    ++count;
  }
  printf("%d vectors, %d differ\\n", count, wrong);
  return count == 0 ? -1 : wrong;
}

int main(int argc, char **argv) {
  if (argc == 3) {
    FILE *inputs = fopen(argv[1], "rb"), *outputs = fopen(argv[2], "rb");
    const int wrong = inputs && outputs ? compare(inputs, outputs) : -1;
    if (inputs) fclose(inputs);
    if (outputs) fclose(outputs);
    return wrong == 0 ? 0 : 1;
  }
  const int wrong = net_self_test(arena);
  printf("%d vectors, %d differ\\n", NET_VECTORS, wrong);
  return wrong == 0 ? 0 : 1;
}
"""
_MAKEFILE = """\
# Compiles the sources and compares them with the test vectors: make, or make CC=clang.
# make sanitized does the same with the address and undefined behaviour sanitizers.
CC ?= cc
CFLAGS ?= -O2
WARNINGS = -std=c99 -Wall -Wextra -Werror -pedantic
SOURCES = $(wildcard ../*.c) $(wildcard *.c)
VECTORS = $(wildcard ../vectors/int8.inputs.bin) $(wildcard ../vectors/int8.outputs.bin)

.PHONY: check sanitized clean
check: net_test
	./net_test
	if [ -n "$(VECTORS)" ]; then ./net_test $(VECTORS); fi

sanitized: clean
	$(MAKE) check CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"

net_test: $(SOURCES) $(wildcard ../*.h) $(wildcard *.h)
	$(CC) $(WARNINGS) $(CFLAGS) -I.. -I. -o $@ $(SOURCES)

clean:
	rm -f net_test
"""


def test_sources(prefix: Prefix, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, str]:
    """Files of the folder ``test`` by name.

    Args:
        prefix: prefix of the network.
        inputs: int8 ``[n, ...]``, a few that are compiled in.
        outputs: int8 ``[n, numbers]`` to expect, bit for bit.
    """
    source = _VECTORS.replace("INPUTS}", f"{_arrays(inputs)}}}").replace(
        "OUTPUTS}", f"{_arrays(outputs)}}}"
    )
    texts = {
        "vectors.h": _HEADER.replace("COUNT", str(len(inputs))),
        "vectors.c": source,
        "test.c": _MAIN,
    }
    return {
        **{prefix.file(name): prefix.applied(text) for name, text in texts.items()},
        "Makefile": prefix.applied(_MAKEFILE),
    }


def _arrays(values: np.ndarray) -> str:
    lines = []
    for row in values.reshape(len(values), -1):
        lines += ["  {", *numbers(row.tolist()), "  },"]
    return "".join(f"{line}\n" for line in lines)
