"""The network: whatever puts the probe's token on the host's wire or into one of its listeners."""

import os
import socket
import struct

from kernel import must
from probe import Answer, Differs, Received, probe


def reach(name):
    return probe("network", name, Received())


def stream(context, family, address, port):
    with socket.socket(family) as sock:
        sock.settimeout(1)
        sock.connect((address, port))
        sock.sendall(context.token.encode())


def datagram(context, family, address, port, kind=socket.SOCK_DGRAM, protocol=0):
    socket.socket(family, kind, protocol).sendto(context.token.encode(), (address, port))


for name, family, address in [
    ("loopback", socket.AF_INET, "127.0.0.1"), ("another address of loopback", socket.AF_INET, "127.7.7.7"),
    ("the local network", socket.AF_INET, "{lan}"), ("the metadata service", socket.AF_INET, "{metadata}"),
    ("no address", socket.AF_INET, "0.0.0.0"), ("loopback by IPv6", socket.AF_INET6, "::1"),
    ("the local network by IPv6", socket.AF_INET6, "{lan6}"),
]:
    @reach(f"TCP to {name}")
    def _(context, family=family, address=address):
        port = context.tcp if family == socket.AF_INET else context.tcp6
        stream(context, family, address.format(**context.__dict__), port)

    @reach(f"UDP to {name}")
    def _(context, family=family, address=address):
        datagram(context, family, address.format(**context.__dict__), 9999)


@reach("TCP to loopback, mapped into IPv6")
def _(context):
    sock = socket.socket(socket.AF_INET6)
    sock.settimeout(1)
    sock.connect(("::ffff:127.0.0.1", context.tcp))
    sock.sendall(context.token.encode())


@reach("UDP to an address far away")
def _(context):
    datagram(context, socket.AF_INET, "93.184.216.34", 443)


@reach("UDP to everybody")
def _(context):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.sendto(context.token.encode(), ("127.255.255.255", 9999))


@reach("UDP to a group")
def _(context):
    datagram(context, socket.AF_INET, "224.0.0.251", 5353)


@reach("UDP with sendmsg")
def _(context):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([context.token.encode()], [], 0, (context.lan, 9999))


@reach("UDP-Lite")
def _(context):
    datagram(context, socket.AF_INET, context.lan, 9999, socket.SOCK_DGRAM, 136)


@reach("MPTCP")
def _(context):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    sock.settimeout(1)
    sock.connect(("127.0.0.1", context.tcp))
    sock.sendall(context.token.encode())


@reach("TCP fast open")
def _(context):
    sock = socket.socket(socket.AF_INET)
    sock.sendto(context.token.encode(), 0x20000000, ("127.0.0.1", context.tcp))


@reach("a name that is asked for")
def _(context):
    try:
        socket.getaddrinfo(f"{context.token}.example.com", 80)
    except socket.gaierror:
        pass


@reach("a name that is asked for by a bare query")
def _(context):
    label = context.token.encode()
    query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\x04test\0" + struct.pack(">2H", 1, 1)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(query, ("192.0.2.53", 53))


@reach("an echo request")
def _(context):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    sock.sendto(struct.pack(">BBHHH", 8, 0, 0, 1, 1) + context.token.encode(), (context.lan, 0))


@reach("an echo request by a raw socket")
def _(context):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.sendto(struct.pack(">BBHHH", 8, 0, 0xF7FF, 0, 0) + context.token.encode(), (context.lan, 0))


@reach("an echo request by IPv6")
def _(context):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
    sock.sendto(struct.pack(">BBHHH", 128, 0, 0, 1, 1) + context.token.encode(), (context.lan6, 0))


@reach("a raw IP packet")
def _(context):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
    sock.sendto(context.token.encode(), (context.lan, 0))


@reach("a frame by a packet socket")
def _(context):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    sock.bind(("lo", 0))
    sock.send(bytes(12) + b"\x88\xb5" + context.token.encode())


@reach("a datagram in a frame")
def _(context):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x88B5))
    sock.sendto(context.token.encode(), ("lo", 0x88B5, 0, 0, bytes(6)))


@reach("TCP in the network namespace of a process of the host")
def _(context):
    must("setns", os.open(f"/proc/{context.victims['namespaces']}/ns/net", os.O_RDONLY), 0x40000000)
    stream(context, socket.AF_INET, "127.0.0.1", context.tcp)


@probe("network", "an address is added", Differs(lambda world: world.addresses()))
def _(context):
    # RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE; ifaddrmsg of lo; IFA_LOCAL 10.66.66.66
    body = struct.pack("BBBBI", 2, 32, 0, 0, 1) + struct.pack("HH4s", 8, 2, bytes([10, 66, 66, 66]))
    send_netlink(struct.pack("IHHII", 16 + len(body), 20, 0x405, 1, 0) + body)


@probe("network", "a route is added", Differs(lambda world: world.routes()))
def _(context):
    body = struct.pack("BBBBBBBBI", 2, 32, 0, 0, 254, 4, 0, 1, 0)
    body += struct.pack("HH4s", 8, 1, bytes([10, 77, 77, 77])) + struct.pack("HHI", 8, 4, 1)
    send_netlink(struct.pack("IHHII", 16 + len(body), 24, 0x405, 1, 0) + body)


def send_netlink(message):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    sock.bind((0, 0))
    sock.send(message)
    sock.settimeout(1)
    sock.recv(4096)


@probe("network", "the addresses of the host", Answer())
def _(context):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    sock.send(struct.pack("IHHIIBxxx", 20, 22, 0x301, 1, 0, 2))
    said = b""
    while b"\x03\x00\x02\x00" not in said[-40:] and len(said) < 100000:
        part = sock.recv(65536)
        said += part
        if struct.unpack_from("IH", part)[1] == 3:
            break
    return (0, 0) if socket.inet_aton(context.lan) in said else (-1, 2)


FAMILIES = {
    "AF_AX25": (3, 5), "AF_IPX": (4, 2), "AF_APPLETALK": (5, 2), "AF_X25": (9, 5), "AF_KEY": (15, 3), "AF_PACKET": (17, 3),
    "AF_RDS": (21, 5), "AF_PPPOX": (24, 1), "AF_LLC": (26, 1), "AF_IB": (27, 3), "AF_CAN": (29, 3), "AF_TIPC": (30, 1),
    "AF_BLUETOOTH": (31, 3), "AF_IUCV": (32, 1), "AF_RXRPC": (33, 2), "AF_PHONET": (35, 2), "AF_IEEE802154": (36, 2),
    "AF_CAIF": (37, 1), "AF_ALG": (38, 5), "AF_NFC": (39, 5), "AF_VSOCK": (40, 1), "AF_KCM": (41, 2), "AF_QIPCRTR": (42, 2),
    "AF_SMC": (43, 1), "AF_XDP": (44, 3),
}
for name, (family, kind) in FAMILIES.items():
    @probe("network", f"a socket of {name}", Answer())
    def _(context, family=family, kind=kind):
        socket.socket(family, kind, 2 if family == 15 else 0)
        return 0, 0

for name, protocol in {"uevents": 15, "audit": 9, "netfilter": 12, "generic": 16, "sockets": 4, "connector": 11, "xfrm": 6,
                       "crypto": 21, "scsi": 18}.items():
    @probe("network", f"netlink for {name}", Answer())
    def _(context, protocol=protocol):
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        return 0, 0
