"""Bounding what leaves by a link: a token bucket on it, and a redirection that leads what comes in past another link's bucket.

Called by ``network``. Source: tc-tbf(8), tc-mirred(8), linux/pkt_sched.h, linux/pkt_cls.h.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from podspace.linux import netlink

RTM_NEWQDISC, RTM_NEWTFILTER = 36, 44
TC_H_ROOT, TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TCA_U32_SEL, TCA_U32_ACT = 5, 7
TCA_ACT_KIND, TCA_ACT_OPTIONS = 1, 2
TCA_MIRRED_PARMS = 2
TC_ACT_STOLEN, TCA_EGRESS_REDIR = 4, 1
TC_U32_TERMINAL = 1
ETH_P_ALL = 3
LINKLAYER_ETHERNET = 1
LATENCY_SECONDS = 0.05
LEAST_BURST_BYTES = 128 * 1024  # a packet that segmentation has not cut up yet must fit in the bucket

_MESSAGE = struct.Struct("=BBHiIII")  # tcmsg
_RATE = struct.Struct("=BBHhHI")  # tc_ratespec
_SELECTOR = struct.Struct("=BBBxHHhhI")  # tc_u32_sel without its keys
_KEY = struct.Struct("=IIii")  # tc_u32_key
_MIRRED = struct.Struct("=IIiiiiI")  # tc_mirred


def burst_bytes(bits: int) -> int:
    """How much may pass at once: a fiftieth of a second's, at least one large packet."""
    return max(LEAST_BURST_BYTES, bits // 8 // 50)


def bound(kernel: netlink.Netlink, index: int, bits: int) -> None:
    """Let no more than ``bits`` a second leave by a link."""
    rate = bits // 8
    burst = burst_bytes(bits)
    ticks = int(burst / rate * _ticks_per_second())
    limit = min(int(rate * LATENCY_SECONDS) + burst, 2**32 - 1)
    spec = _RATE.pack(0, LINKLAYER_ETHERNET, 0, 0, 0, min(rate, 2**32 - 1))
    parameters = spec + bytes(_RATE.size) + struct.pack("=III", limit, ticks, 0)
    options = netlink.attribute(TCA_TBF_PARMS, parameters) + netlink.number(TCA_TBF_BURST, burst)
    if rate >= 2**32:
        options += netlink.attribute(TCA_TBF_RATE64, struct.pack("=Q", rate))
    body = _MESSAGE.pack(socket.AF_UNSPEC, 0, 0, index, 0, TC_H_ROOT, 0) + netlink.text(TCA_KIND, "tbf")
    flags = netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
    kernel.ask(RTM_NEWQDISC, flags, body + netlink.nested(TCA_OPTIONS, options), f"token bucket on link {index}")


def redirect(kernel: netlink.Netlink, source: int, target: int) -> None:
    """Have all that comes in by one link leave by another, whence it goes on as if it had just come in."""
    what = f"redirection of link {source}"
    body = _MESSAGE.pack(socket.AF_UNSPEC, 0, 0, source, 0xFFFF0000, TC_H_INGRESS, 0) + netlink.text(TCA_KIND, "ingress")
    kernel.ask(RTM_NEWQDISC, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE, body, what)
    mirred = netlink.attribute(TCA_MIRRED_PARMS, _MIRRED.pack(0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, target))
    action = netlink.text(TCA_ACT_KIND, "mirred") + netlink.nested(TCA_ACT_OPTIONS, mirred)
    everything = _SELECTOR.pack(TC_U32_TERMINAL, 0, 1, 0, 0, 0, 0, 0) + _KEY.pack(0, 0, 0, 0)
    options = netlink.attribute(TCA_U32_SEL, everything) + netlink.nested(TCA_U32_ACT, netlink.nested(1, action))
    info = 1 << 16 | socket.htons(ETH_P_ALL)  # priority and protocol
    body = _MESSAGE.pack(socket.AF_UNSPEC, 0, 0, source, 0, 0xFFFF0000, info) + netlink.text(TCA_KIND, "u32")
    kernel.ask(RTM_NEWTFILTER, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body + netlink.nested(TCA_OPTIONS, options), what)


def _ticks_per_second() -> float:
    """The unit the packet scheduler counts time in. Source: net/sched/sch_api.c psched_show; iproute2 tc_core.c."""
    ticks, micros, clock, _ = (int(word, 16) for word in Path("/proc/net/psched").read_text().split())
    return ticks / micros * clock
