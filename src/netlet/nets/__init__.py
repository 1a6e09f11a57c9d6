"""Nets: building blocks, the registry of ours and the documents', and the way in for other people's."""

from netlet.nets.document_004 import code_1, code_2, code_3, code_4
from netlet.nets.expand_squeeze import expand_squeeze
from netlet.nets.user_code import find_net
from netlet.nets.frontier import crest, mnistnet_2, mnistnet_3, speck
from netlet.nets.mnistnet import mnistnet_1
from netlet.nets.notation import is_notation
from netlet.nets.pyramid import pyramid
from netlet.nets.registry import NETS, Builder, NetEntry, build, net
from netlet.nets.shipped_weights import list_shipped_weights, find_shipped_weights
from netlet.nets.sprint import dash, sprint, sprint8k
from netlet.nets.summit import summit
from netlet.nets.swift import swift
from netlet.nets.week4 import week4, week4_conv
from netlet.nets.weights import load_weights, save_weights, weights_digest

__all__ = [
    "NETS",
    "Builder",
    "NetEntry",
    "build",
    "code_1",
    "code_2",
    "code_3",
    "code_4",
    "crest",
    "dash",
    "expand_squeeze",
    "find_net",
    "is_notation",
    "load_weights",
    "mnistnet_1",
    "mnistnet_2",
    "mnistnet_3",
    "net",
    "pyramid",
    "save_weights",
    "list_shipped_weights",
    "find_shipped_weights",
    "speck",
    "sprint",
    "sprint8k",
    "summit",
    "swift",
    "week4",
    "week4_conv",
    "weights_digest",
]
