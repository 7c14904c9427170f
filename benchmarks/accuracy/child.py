"""Runs one job in the peer's environment: ``python -m benchmarks.accuracy.child NAME JOB RESULT``.

NAME is a module of benchmarks/peers, JOB a JSON file, RESULT the JSON file to write: seconds of the
quantization alone (the peer's imports are loaded before), versions, and peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks.accuracy.peer import Job, Peer


def main(arguments: list[str]) -> None:
    """Run the job and write its seconds, versions and peak memory."""
    name, job_file, result_file = arguments
    peer: Peer = import_module(f"benchmarks.peers.{name}").PEER
    if peer.of_product:
        from edgequant.repeatable import one_order_of_sums

        one_order_of_sums()  # as the command does, but before TensorFlow is loaded
    job = Job.from_json(Path(job_file).read_text(encoding="utf-8"))
    for module in peer.imports:
        import_module(module)
    start = time.perf_counter()
    peer.quantize(job)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kB; in bytes on macOS
    result = {
        "seconds": seconds,
        "versions": peer.versions(),
        "peak_bytes": peak if sys.platform == "darwin" else 1024 * peak,
    }
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
