# The trainer: fits the predictor to the decision log in /data, and ends. Routers that share the folder begin to use it within a second.
# Build in the repository's root: docker build --file deploy/docker/trainer.Dockerfile --tag rheostat-trainer:0.1.0 .
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
# The trainer's own, and object storage behind fsspec.
ARG EXTRAS=train,storage
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rheostat-trainer" \
      org.opencontainers.image.description="Fits the predictor of Rheostat to its decision log." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
# The one folder that is written to, besides /tmp: with both as volumes, the root file system can be read-only.
RUN install --directory --owner=65532 --group=65532 /data
COPY --from=build /opt/rheostat /opt/rheostat
ENV PATH=/opt/rheostat/bin:$PATH
ENV HOME=/tmp
ENV MPLCONFIGDIR=/tmp/matplotlib
ENV PYTHONDONTWRITEBYTECODE=1
ENV RHEOSTAT_DATA=/data
USER 65532:65532
VOLUME /data
# It serves nothing: its exit status says how it went.
HEALTHCHECK NONE
ENTRYPOINT ["rheostat"]
CMD ["retrain"]
