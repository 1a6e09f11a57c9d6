"""Nets: building blocks, the registry of built-in nets, nets in users' code, and weights."""

from netlet.nets.addresses import (
    complete_address,
    explain_path,
    full_address,
    is_user_code,
    note_other_definitions,
)
from netlet.nets.document_004 import code_1, code_2, code_3, code_4
from netlet.nets.expand_squeeze import expand_squeeze
from netlet.nets.mnistnet import mnistnet_1
from netlet.nets.net_code import NetCode, find_code, is_file_address
from netlet.nets.notation import is_notation
from netlet.nets.one_line import get_builder
from netlet.nets.pretrained import InputFormat, load
from netlet.nets.pyramid import pyramid
from netlet.nets.registry import NETS, Builder, NetEntry, build, net
from netlet.nets.shipped_weights import find_shipped_weights, list_shipped_weights
from netlet.nets.sprint import dash, sprint, sprint8k
from netlet.nets.summit import summit
from netlet.nets.swift import swift
from netlet.nets.user_code import comes_with_netlet, find_net
from netlet.nets.week4 import week4, week4_conv
from netlet.nets.weights import load_weights, save_weights, weights_digest

__all__ = [
    "NETS",
    "Builder",
    "InputFormat",
    "NetCode",
    "NetEntry",
    "build",
    "code_1",
    "code_2",
    "code_3",
    "code_4",
    "comes_with_netlet",
    "complete_address",
    "dash",
    "expand_squeeze",
    "explain_path",
    "find_code",
    "find_net",
    "find_shipped_weights",
    "full_address",
    "is_file_address",
    "is_notation",
    "is_user_code",
    "list_shipped_weights",
    "load",
    "load_weights",
    "mnistnet_1",
    "net",
    "note_other_definitions",
    "pyramid",
    "save_weights",
    "sprint",
    "sprint8k",
    "summit",
    "swift",
    "week4",
    "week4_conv",
    "weights_digest",
]

__getattr__ = get_builder  # nets that the catalog writes in one line: netlet.nets.crest
