# The image of callsheet: docs/how-to/deploy-with-docker.md. Pin the base by digest where you build:
# docker build --build-arg PYTHON=python:3.13-slim-trixie@sha256:… --tag callsheet .
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# The environment that is shipped gets no pip: the one that builds installs into it.
RUN python -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
    && python -m venv --without-pip /opt/callsheet \
    && /build/bin/pip --python /opt/callsheet/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY callsheet callsheet
COPY actors actors
COPY storage storage
COPY web web
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/callsheet/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && /build/bin/pip --python /opt/callsheet/bin/python check

FROM ${PYTHON}
LABEL org.opencontainers.image.title="callsheet" \
      org.opencontainers.image.description="A scheduler service for typed Python tasks" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 callsheet \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /data --shell /usr/sbin/nologin callsheet \
    && install --directory --owner=10001 --group=10001 --mode=0750 /data \
    && install --directory /tasks
COPY --from=build /opt/callsheet /opt/callsheet
# PYTHONSAFEPATH: no file among the tasks may stand in for a module of ours. The drain is below the 10 s after which
# `docker stop` kills. Every address is refused without a key, so that nothing is open by accident.
ENV PATH=/opt/callsheet/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CALLSHEET_HOST=0.0.0.0 \
    CALLSHEET_DATABASE=sqlite:////data/callsheet.db \
    CALLSHEET_TASKS=/tasks \
    CALLSHEET_DRAIN=7s
WORKDIR /tasks
VOLUME /data
EXPOSE 8080
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["callsheet", "health"]
ENTRYPOINT ["callsheet"]
CMD ["serve"]
