"""Attacks that a shell cannot make; prints those (of the given ones) that succeed. System calls are those of x86_64."""
import ctypes
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
reached = []


def attack(name, function):
    if name not in (sys.argv[1:] or [name]):
        return
    try:
        if function() not in (None, -1):
            reached.append(name)
    except (OSError, AttributeError):
        pass


def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"evil", ("127.0.0.1", 7))


def fast_open():
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    return tcp.sendto(b"evil", socket.MSG_FASTOPEN, ("127.0.0.1", 7))


def unix():
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"evil", "/run/socket")


def pair():
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return one.sendto(b"evil", "/run/socket")


attack("udp", udp)
attack("tcp fast open", fast_open)
attack("unix datagram", unix)
attack("unix datagram of a pair", pair)
attack("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attack("netlink generic", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16))
attack("io_uring", lambda: libc.syscall(425, 8, ctypes.create_string_buffer(120)))
attack("add_key", lambda: libc.syscall(248, b"user", b"evil", b"evil", 4, -3))
attack("keyctl", lambda: libc.syscall(250, 1, None))
attack("memfd", lambda: libc.syscall(319, b"evil", 0))
attack("bpf", lambda: libc.syscall(321, 0, None, 0))
attack("userfaultfd", lambda: libc.syscall(323, 1))
attack("perf_event_open", lambda: libc.syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0))
attack("ptrace", lambda: libc.ptrace(16, os.getppid(), None, None))
attack("unshare", lambda: libc.unshare(0x10000000))
attack("clone into a user namespace", lambda: libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) or None)
attack("x32", lambda: libc.syscall(0x40000000 | 41, 2, 2, 0))
attack("truncate on open", lambda: os.open("/run/world", os.O_RDONLY | os.O_TRUNC))
attack("fifo", lambda: os.open("/run/fifo", os.O_RDWR | os.O_NONBLOCK))
attack("lease", lambda: __import__("fcntl").fcntl(os.open("/run/world", os.O_RDONLY), 1024, 0))
attack("descriptor", lambda: os.write(9, b"evil"))
attack("shared memory", lambda: libc.shmget(0, 4096, 0o1600))
attack("oom_score_adj", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"0"))
attack("other processes", lambda: None if len([p for p in os.listdir("/proc") if p.isdigit()]) < 99 else 1)
for capabilities in [] if sys.argv[1:] else [line for line in open("/proc/self/status") if line.startswith("Cap")]:
    if int(capabilities.split()[1], 16):
        reached.append(capabilities.strip())
print("\n".join(reached) or "nothing")
