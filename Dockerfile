# Tickr in a container: built from this folder, run as nobody in particular, its data (if it keeps any) in /data.
#
#   docker build -t tickr .
#   docker run -p 127.0.0.1:8080:8080 -v tickr:/data -e TICKR_TOKEN=… tickr

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY tickr tickr
COPY clients/js clients/js
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels tickr \
 && useradd --system --uid 10001 --home-dir /data --create-home tickr
USER tickr
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
# Listening for others needs access control: set TICKR_TOKEN, or add --insecure where only trusted ones can reach it.
ENTRYPOINT ["tickr"]
CMD ["serve", "--host", "0.0.0.0"]
