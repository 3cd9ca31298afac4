"""A service: texts are posted over HTTP, go through a pipeline, and what it found is stored in SQLite.

    python examples/service.py words.db --port 8080
    curl --data 'to be or not to be' http://127.0.0.1:8080/texts
    curl http://127.0.0.1:8080/texts/1
    curl http://127.0.0.1:8080/health

It needs aiohttp: pip install 'papy[service]'. On SIGTERM or Ctrl-C it takes no more texts, finishes those that it has taken,
and ends; so nothing that was answered with 202 is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import sqlite3
from collections import Counter

from aiohttp import web

from papy import AbstractStep, Pipeline

LIMIT = 1000  # texts on their way; beyond that the answer is 503, and the client may try again


def count_words(job: tuple[int, str]) -> tuple[int, dict[str, int]]:
    """The work, in a process of its own."""
    number, text = job
    return number, dict(Counter(text.lower().split()))


class Store(AbstractStep):
    """The one thread that writes to the database."""

    def initialize(self, path: str) -> None:
        self.path = path

    def thread_initialize(self) -> None:
        # Here, not in initialize: the connection belongs to this thread.
        self.connection = sqlite3.connect(self.path)

    def process(self, found: tuple[int, dict[str, int]]) -> int:
        number, words = found
        with self.connection:
            self.connection.execute("insert into texts values (?, ?)", (number, json.dumps(words)))
        return number

    def thread_shutdown(self) -> None:
        self.connection.close()


class Service:
    """The HTTP front of a pipeline."""

    def __init__(self, path: str) -> None:
        self.path = path
        with sqlite3.connect(path) as connection:
            connection.execute("create table if not exists texts (number integer primary key, words text)")
            (last,) = connection.execute("select coalesce(max(number), 0) from texts").fetchone()
        connection.close()
        self.numbers = itertools.count(last + 1)
        self.pipeline = Pipeline([(count_words, 2, {"worker_type": "process"}), (Store, 1, {"path": path})])
        self.put = 0

    async def lifetime(self, app: web.Application):
        """The pipeline runs while the application does; at its end, what was taken is finished."""
        self.pipeline.run_forever(background=True)
        yield
        await asyncio.to_thread(self.pipeline.stop)
        print(f"{self.pipeline.count} texts stored, {self.pipeline.skipped + self.pipeline.failed} lost", flush=True)

    async def post(self, request: web.Request) -> web.Response:
        """POST /texts"""
        text = await request.text()
        if not self.pipeline.alive:
            raise web.HTTPServiceUnavailable(text="the pipeline has failed")
        if self.put - self.pipeline.count >= LIMIT:
            raise web.HTTPServiceUnavailable(text="too many texts on their way", headers={"Retry-After": "1"})
        number = next(self.numbers)
        self.pipeline.put((number, text))
        self.put += 1
        return web.json_response({"number": number}, status=202)

    async def get(self, request: web.Request) -> web.Response:
        """GET /texts/1"""
        found = await asyncio.to_thread(self.find, int(request.match_info["number"]))
        if found is None:
            raise web.HTTPNotFound(text="not there, or not yet")
        return web.Response(text=found, content_type="application/json")

    def find(self, number: int) -> str | None:
        connection = sqlite3.connect(self.path)
        try:
            row = connection.execute("select words from texts where number = ?", (number,)).fetchone()
        finally:
            connection.close()
        return None if row is None else row[0]

    async def health(self, request: web.Request) -> web.Response:
        """GET /health"""
        pipeline = self.pipeline
        state = {"alive": pipeline.alive, "put": self.put, "stored": pipeline.count, "steps": pipeline.counter.counts}
        return web.json_response(state, status=200 if pipeline.alive else 503)

    def application(self) -> web.Application:
        app = web.Application()
        app.cleanup_ctx.append(self.lifetime)
        app.router.add_post("/texts", self.post)
        app.router.add_get(r"/texts/{number:\d+}", self.get)
        app.router.add_get("/health", self.health)
        return app


async def serve(path: str, host: str, port: int) -> None:
    """Serves until a signal comes."""
    # Five seconds for requests that are being answered.
    runner = web.AppRunner(Service(path).application(), shutdown_timeout=5)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    print(f"listening on {host}:{runner.addresses[0][1]}", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    # Stops listening, waits for requests that are being answered, then ends the lifetime of the pipeline.
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    asyncio.run(serve(options.database, options.host, options.port))


main()
