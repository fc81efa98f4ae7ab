"""Looks a name up as Go's own resolver does (net/dnsclient_unix.go and dnsconfig_unix.go of Go 1.22, with the
"files dns" order of nsswitch.conf): /etc/resolv.conf with its search list, ndots, timeout and attempts; A and AAAA at the
same time, from a new connected socket each, with an OPT record (RFC 6891) that offers 1232 bytes; the answer must have the
number and the question of what was asked; once more over TCP where it is cut short.

    python3 resolver.py NAME...     prints for each its addresses, or what Go would say
"""
import concurrent.futures, os, socket, struct, sys

A, AAAA, OPT = 1, 28, 41
PAYLOAD = 1232  # maxDNSPacketSize


def configuration(path="/etc/resolv.conf"):
    conf = {"servers": [], "search": [], "ndots": 1, "timeout": 5, "attempts": 2}
    for line in open(path):
        words = line.split()
        if not words or line[0] in ";#":
            continue
        if words[0] == "nameserver" and len(conf["servers"]) < 3:
            conf["servers"].append(words[1])
        elif words[0] == "domain":
            conf["search"] = [words[1].rstrip(".") + "."]
        elif words[0] == "search":
            conf["search"] = [word.rstrip(".") + "." for word in words[1:]]
        elif words[0] == "options":
            for option in words[1:]:
                key, _, value = option.partition(":")
                if key in ("ndots", "timeout", "attempts"):
                    conf[key] = int(value)
    return conf


def name_list(name, conf):
    """conf.nameList: a name with enough dots is tried as it is first, and last otherwise."""
    if len(name) > 254 or (len(name) == 254 and not name.endswith(".")):
        return []
    if name.endswith("."):
        return [name]
    rooted, found = name.count(".") >= conf["ndots"], [name + "." + suffix for suffix in conf["search"]]
    return [name + "."] + found if rooted else found + [name + "."]


def question(name, kind):
    number = struct.unpack(">H", os.urandom(2))[0]
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"
    body = labels + struct.pack(">HH", kind, 1)
    opt = b"\0" + struct.pack(">HHIH", OPT, PAYLOAD, 0, 0)
    return number, body, struct.pack(">6H", number, 0x0120, 1, 0, 0, 1) + body + opt


def exchange(server, name, kind, timeout):
    number, body, query = question(name, kind)
    for stream in (False, True):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.connect((server, 53))
            s.sendall(struct.pack(">H", len(query)) + query if stream else query)
            while True:
                if stream:
                    length = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
                    answer = s.recv(length, socket.MSG_WAITALL)
                else:
                    answer = s.recv(PAYLOAD)
                head = struct.unpack(">6H", answer[:12])
                # checkResponse; what is not an answer to this is waited past.
                if head[0] == number and head[1] & 0x8000 and answer[12:12 + len(body)].lower() == body.lower():
                    break
        if not head[1] & 0x0200:
            return head, answer, 12 + len(body)
    return head, answer, 12 + len(body)


def skip_name(answer, at):
    while answer[at]:
        if answer[at] & 0xC0:
            return at + 2
        at += answer[at] + 1
    return at + 1


def addresses(head, answer, at):
    found = []
    for _ in range(head[3]):
        at = skip_name(answer, at)
        kind, _, _, length = struct.unpack(">HHIH", answer[at:at + 10])
        data = answer[at + 10:at + 10 + length]
        if kind in (A, AAAA):
            found.append(socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data))
        at += 10 + length
    return found


def try_one(conf, name, kind):
    """tryOneName: addresses, or why there are none."""
    last = "server misbehaving"
    for _ in range(conf["attempts"]):
        for server in conf["servers"]:
            try:
                head, answer, at = exchange(server, name, kind, conf["timeout"])
            except OSError as error:
                last = str(error)
                continue
            code = head[1] & 15
            if code == 3:
                return "no such host"
            # checkHeader: an answer without recursion, authority or records of its own is a lame one.
            lame = code == 0 and not head[1] & 0x0400 and not head[1] & 0x0080 and not head[3] and not head[5]
            if code not in (0, 3) or lame:
                last = "server misbehaving"
                continue
            return addresses(head, answer, at) or "no such host"
    return last


def look_up(name):
    conf = configuration()
    last = "no such host"
    for full in name_list(name, conf):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda kind: try_one(conf, full, kind), (A, AAAA)))
        found = [address for one in both if isinstance(one, list) for address in one]
        if found:
            return found
        # The error of A, unless AAAA knows more.
        last = next((one for one in both if isinstance(one, str)), last)
    return last


if __name__ == "__main__":
    for name in sys.argv[1:]:
        found = look_up(name)
        print(name, " ".join(found) if isinstance(found, list) else found)
