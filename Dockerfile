# The suite as one command: `docker run sedsep` is `sedsep`.
#
#   docker build -t sedsep .                               for processors
#   docker build -t sedsep:gpu --build-arg TORCH=cu130 .   for NVIDIA GPUs (CUDA 13; run with --gpus all)
#   docker run --rm -v "$PWD:/work" sedsep task=separate audio=street.wav
#
# TORCH is the build of PyTorch, as uv names them (`uv pip install --torch-backend`); empty: the package index's own.
ARG PYTHON=3.12

# The image with a compiler, which sed_scores_eval has to be built with.
FROM python:${PYTHON} AS wheels
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src "sed_scores_eval==0.0.4"

FROM python:${PYTHON}-slim
ARG TORCH=cpu
ARG EXTRAS=hub,demo,export,search
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir "uv==0.13.*" \
    && uv pip install --system --no-cache ${TORCH:+"--torch-backend=${TORCH}"} \
        --find-links /wheels "$(ls /wheels/sedsep-*.whl)[${EXTRAS}]" \
    && rm -r /wheels \
    && mkdir -m 1777 /cache
# Any user number will do (docker run --user), as results belong to whoever owns /work; PyTorch wants a name for it.
ENV SEDSEP_CACHE=/cache HOME=/cache USER=sedsep
USER 1000
WORKDIR /work
ENTRYPOINT ["sedsep"]
