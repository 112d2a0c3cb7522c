# winnow in a slim image, as an ordinary user. The store is a Qdrant server (docker-compose.yml), or embedded in /data.
FROM docker.io/library/python:3.12-slim

# CPU-only builds: the default index carries gigabytes of CUDA. For a GPU, build with another TORCH_INDEX.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# What the container writes lies in /data: a volume made from an image folder inherits its owner.
RUN useradd --create-home --uid 10001 winnow \
    && install --directory --owner=winnow --group=winnow /data

WORKDIR /opt/winnow

# A layer of its own: torch is large and rarely changes. The bounds are pyproject.toml's.
RUN pip install --index-url "${TORCH_INDEX}" "torch>=2.6,<2.14"

COPY pyproject.toml README.md LICENSE ./
COPY winnow/ winnow/
COPY storage/ storage/
COPY ingest/ ingest/
COPY retrieval/ retrieval/
COPY rerank/ rerank/
COPY generation/ generation/
COPY examples/ examples/
RUN pip install ".[server]"

# winnow, by its number: an orchestrator can tell that it is not root
USER 10001
WORKDIR /data
ENV WINNOW_DATA_DIR=/data \
    HF_HOME=/data/models \
    WINNOW_MODELS_DIR=/data/models/prepared
VOLUME /data
# `winnow serve`
EXPOSE 8765

ENTRYPOINT ["winnow"]
CMD ["--help"]
