"""The child process of LlamaServer: llama.cpp's own server on the loopback, until its standard input ends.

Run as a script, it imports nothing of winnow's. Its arguments are the GGUF file, the context in tokens and
the number of slots; the key is the first line of standard input. It prints the address, one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    import xllamacpp

    file, context, slots = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)  # llama.cpp writes to standard output, too
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.hostname, params.port = "127.0.0.1", 0
    params.api_keys = [sys.stdin.readline().strip()]
    params.n_parallel = int(slots)
    params.n_ctx = int(context) * int(slots)
    params.warmup = False
    server = xllamacpp.Server(params)
    os.write(answers, json.dumps({"url": server.listening_address}).encode() + b"\n")
    sys.stdin.read()  # ends with the process that started this one, however that ends
    os._exit(0)


if __name__ == "__main__":
    main()
