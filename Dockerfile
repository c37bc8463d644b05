# The wheels of torch on PyPI bring CUDA with them: a slim Python image is enough, the host needs only its NVIDIA driver
# and the NVIDIA Container Toolkit. For machines without a GPU, a smaller image:
#   docker build --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu -t venation .
# To pin the base by digest: --build-arg BASE=python:3.12-slim@sha256:...; see docs/how-to/deploy.md.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venation
COPY constraints.txt /src/constraints.txt
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        /opt/venation/bin/pip install --constraint /src/constraints.txt --index-url "$TORCH_INDEX_URL" torch torchvision; \
    fi
COPY . /src
RUN /opt/venation/bin/pip install --constraint /src/constraints.txt '/src[search,s3,gcs,heic,serve]'

FROM ${BASE}
RUN useradd --uid 1000 --home-dir /var/lib/venation --create-home venation && install -d -o venation -g venation /artifacts /out
COPY --from=build /opt/venation /opt/venation
ENV PATH=/opt/venation/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER venation
WORKDIR /out
ENTRYPOINT ["venation"]
CMD ["--help"]
