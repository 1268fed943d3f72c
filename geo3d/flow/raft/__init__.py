"""RAFT: optical flow by a network (Teed & Deng, ECCV 2020), in PyTorch, which is imported when it is used.

`geo3d.flow.raft.model` is the network, `geo3d.flow.raft.weights` its files, `geo3d.flow.raft.training` its training.
"""

from geo3d.flow.raft.estimate import RaftOptions, flow_raft

__all__ = ["RaftOptions", "flow_raft"]
