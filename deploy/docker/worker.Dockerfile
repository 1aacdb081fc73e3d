# The worker: the bundled models in the process itself, or clients of engines that run beside it (vLLM from its own image).
# Build in the repository's root: docker build --file deploy/docker/worker.Dockerfile --tag rheostat-worker:0.1.0 .
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
ENV VIRTUAL_ENV=/opt/rheostat
ENV PATH=$VIRTUAL_ENV/bin:$PATH
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv "$VIRTUAL_ENV"
# Torch comes first, and by itself: --build-arg TORCH_INDEX=<PyTorch's index of CPU builds> makes the image a tenth as large where there is no GPU.
ARG TORCH_INDEX=""
# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
COPY . .
# The bundled models, clients of OpenAI-compatible servers, GPU meters. For Ray Serve: --build-arg EXTRAS=embedded,worker,energy,ray
ARG EXTRAS=embedded,worker,energy
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rheostat-worker" \
      org.opencontainers.image.description="Runs inference-time strategies on the models of its pools, for the routers of Rheostat." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/rheostat /opt/rheostat
# KubeRay starts Ray from a login shell, which forgets PATH; without the extra `ray` one of these leads nowhere, and nobody follows it.
RUN ln --symbolic /opt/rheostat/bin/ray /opt/rheostat/bin/rheostat /usr/local/bin/
ENV PATH=/opt/rheostat/bin:$PATH
# Nothing is written but to /tmp: with that as a volume, the root file system can be read-only.
ENV HOME=/tmp
ENV PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 50052 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["rheostat", "health", "--address", "127.0.0.1:50052", "--service", "rheostat.v1.WorkerService"]
ENTRYPOINT ["rheostat"]
CMD ["work", "--address", "0.0.0.0:50052"]
