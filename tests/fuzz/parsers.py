"""The parsers of foreign bytes, as the files of ``rows`` name them."""

from __future__ import annotations

from tests.fuzz.rows.annotations import ANNOTATIONS
from tests.fuzz.rows.artifacts import ARTIFACTS
from tests.fuzz.rows.networks import NETWORKS
from tests.fuzz.rows.pictures import PICTURES
from tests.fuzz.rows.texts import TEXTS

PARSERS = (*PICTURES, *ANNOTATIONS, *TEXTS, *NETWORKS, *ARTIFACTS)
