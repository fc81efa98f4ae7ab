"""A small front end for `belljar run --ask-at`: it answers as told, and keeps what it was asked.

frontend.py unix:PATH|dir:PATH MODE LOG [FIELDS]

FIELDS is JSON that goes into the answer; MODE is `right`, or a way to answer wrongly.
"""
import json
import os
import socket
import sys
import time

at, mode, log = sys.argv[1:4]
fields = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {"answer": "yes"}
kind, path = at.split(":", 1)


def answer_to(question):
    """Bytes, or None for silence."""
    with open(log, "a") as file:
        file.write(json.dumps(question) + "\n")
    answer = {"schema": "belljar.answer/1", "id": question["id"], "nonce": question["nonce"]}
    if question["kind"] == "settle":
        answer.update({"answer": "apply", "high": question["high"]})
    answer.update(fields.get(question["kind"], {}) if question["kind"] in fields else
                  (fields if question["kind"] == "run" else {}))
    text = json.dumps(answer)
    wrong = {
        "right": text,
        "silent": None,
        "late": text,
        "nonce": json.dumps(dict(answer, nonce="0" * 32)),
        "id": json.dumps(dict(answer, id="0" * 32)),
        "old": None,
        "cut": text[: len(text) // 2],
        "garbage": "\x00\xff yes",
        "empty": "",
        "list": json.dumps([answer]),
        "more": json.dumps(dict(answer, extra=1)),
        "no-nonce": json.dumps({k: v for k, v in answer.items() if k != "nonce"}),
        "huge": text + " " * (1 << 17),
        "twice": text + "\n" + text,
    }
    return wrong[mode] if mode in wrong else text


def by_socket():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666 if mode == "open" else 0o600)
    if mode == "stranger":
        os.setresuid(65534, 65534, 65534)
    listener.listen(8)
    print("ready", flush=True)
    held = []
    while True:
        client, _ = listener.accept()
        held.append(client)
        said = answer_to(json.loads(client.makefile().readline()))
        if mode == "late":
            time.sleep(3)
        try:
            if said is not None:
                client.sendall(said.encode("utf-8", "surrogateescape") + b"\n")
            if mode == "empty":
                client.close()
        except BrokenPipeError:
            pass


def by_files():
    print("ready", flush=True)
    seen = set()
    while True:
        for name in os.listdir(path):
            if not name.startswith("question-") or name in seen:
                continue
            seen.add(name)
            said = answer_to(json.load(open(os.path.join(path, name))))
            answer = os.path.join(path, name.replace("question-", "answer-"))
            if mode == "late":
                time.sleep(3)
            if said is None:
                continue
            new = answer + ".new"
            with open(new, "w", errors="surrogateescape") as file:
                file.write(said)
            os.chmod(new, 0o666 if mode == "open" else 0o600)
            if mode == "link":
                os.symlink(new, answer)
            elif mode == "hard":
                os.link(new, answer)
            elif mode == "fifo":
                os.mkfifo(answer)
            elif mode == "directory":
                os.mkdir(answer)
            else:
                os.rename(new, answer)
        time.sleep(0.02)


by_socket() if kind == "unix" else by_files()
