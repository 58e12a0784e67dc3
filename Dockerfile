# AeroFn in a container: one process, not root, nothing to write but its cache. What is installed is pinned with hashes
# (`make lock`), and so is the C compiler, which stays behind in the first stage. In production name the base image by
# its digest too: FROM python:3.13-slim@sha256:…
FROM python:3.13-slim AS build
WORKDIR /src
COPY deploy/requirements.lock deploy/build.lock deploy/
RUN pip install --no-cache-dir --require-hashes --no-deps --prefix=/install -r deploy/requirements.lock \
 && pip install --no-cache-dir --require-hashes --no-deps -r deploy/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY tools/build_library.py tools/
COPY aerofn aerofn
COPY sql sql
COPY wit wit
COPY examples examples
RUN pip install --no-cache-dir --no-index --no-deps --no-build-isolation --prefix=/install .

FROM python:3.13-slim
COPY --from=build /install /usr/local
RUN useradd --system --uid 10001 --home-dir /nonexistent aerofn \
 && install -d -o aerofn -m 0700 /var/cache/aerofn
USER 10001
ENV AEROFN_HOST=0.0.0.0 AEROFN_CACHE_DIR=/var/cache/aerofn PYTHONUNBUFFERED=1
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8787/readyz', timeout=2)"]
ENTRYPOINT ["aerofn"]
CMD ["serve"]
