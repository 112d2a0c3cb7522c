"""The child process of LlamaServer: llama.cpp's own server on the loopback, until its standard input ends.

Run as a script, it imports nothing of winnow's. Its arguments are the GGUF file, the context in tokens, the
number of slots and that of cores; the key is the first line of standard input. It prints the address, as one
line of JSON.
"""

from __future__ import annotations

import json
import os
import sys

# Memory for prompts that may come again.
_PROMPTS_MIB = 256
_ERRORS = 1


def main() -> None:
    import xllamacpp

    file, context, slots, cores = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)  # llama.cpp writes to standard output, too
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [sys.stdin.readline().strip()]
    params.n_parallel = int(slots)
    params.n_ctx = int(context) * int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(cores)
    params.cache_ram_mib = _PROMPTS_MIB
    params.warmup = params.endpoint_slots = False
    params.verbosity = _ERRORS  # at more, prompts would be written down
    server = xllamacpp.Server(params)
    os.write(answers, json.dumps({"url": server.listening_address}).encode() + b"\n")
    sys.stdin.read()  # ends with the process that started this one, however that ends
    os._exit(0)


if __name__ == "__main__":
    main()
