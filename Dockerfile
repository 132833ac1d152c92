# Answers only, without torch:
#   docker build -t movie_embed .
#   docker run --read-only --tmpfs /tmp -p 8000:8000 -v ./outputs:/outputs:ro movie_embed
# Settings follow, for example 'hosts=[movies.example.com]' workers=4; docs/web.md has more.
FROM python:3.13-slim AS made
RUN python -m venv /app
COPY answering.txt /source/
# Hydra's parser has no wheel.
RUN /app/bin/pip install --no-cache-dir --no-deps --only-binary :all: \
    --no-binary antlr4-python3-runtime --requirement /source/answering.txt
COPY setup.cfg pyproject.toml README.md LICENSE /source/
COPY conf /source/conf
COPY movie_embed /source/movie_embed
RUN /app/bin/pip install --no-cache-dir --no-deps /source && /app/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=made /app /app
USER 65534:65534
EXPOSE 8000
HEALTHCHECK --start-period=30s CMD ["/app/bin/python", "-c", \
    "from urllib.request import urlopen; urlopen('http://localhost:8000/api/ready', timeout=5)"]
ENTRYPOINT ["/app/bin/movie-embed", "serve", "host=0.0.0.0", "run=/outputs/latest"]
