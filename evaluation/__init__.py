"""Evaluation of artifacts: sessions, metrics, intervals, latency, parity, lint and proofs."""
