"""A synthetic world to learn from: furnished rooms and open scenes with exact depth, rendered without a display.

from cosmorama.pipeline.world import WorldDataset
frame = WorldDataset("world/")[scene, number]
"""

from .shards import WorldDataset, WorldFrame, decode_depth, encode_depth, iter_frames

__all__ = ["WorldDataset", "WorldFrame", "decode_depth", "encode_depth", "iter_frames"]
