"""Downloads with sixteen threads, a database with one: each step has the workers that it needs.

The pages come from a small server in this program, which takes its time over each of them.
"""

import sqlite3
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

from papy import AbstractStep, Pipeline, SkipEntry


class Pages(BaseHTTPRequestHandler):
    """Answers /7 with a page about 7; every tenth page is empty."""

    def do_GET(self):
        number = int(self.path[1:])
        time.sleep(0.02)
        body = b"" if number % 10 == 0 else b"page %d " % number * number
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# begin
class Download(AbstractStep):
    def initialize(self, server):
        self.server = server

    def process(self, path):
        with urlopen(f"{self.server}/{path}", timeout=60) as answer:
            body = answer.read()
        if not body:
            raise SkipEntry
        return path, body


class Store(AbstractStep):
    def initialize(self, database):
        self.database = database

    def thread_initialize(self):
        # Here, and not in initialize: the connection belongs to the thread that made it.
        self.connection = sqlite3.connect(self.database)
        self.connection.execute("create table if not exists pages (path, body)")

    def process(self, page):
        with self.connection:
            self.connection.execute("insert into pages values (?, ?)", page)
        return page

    def thread_shutdown(self):
        self.connection.close()


def pipeline(server, database):
    return Pipeline([(Download, 16, {"server": server, "max_retries": 2}), (Store, 1, {"database": database})])


# end


def main(database):
    # A file: each thread has a connection of its own, and ":memory:" would be another database in each.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = pipeline(f"http://127.0.0.1:{server.server_address[1]}", database)
    pages.put_iterable(range(1, 201))
    pages.run()
    server.shutdown()
    server.server_close()
    print(f"{pages.taken} taken, {pages.count} stored, {pages.skipped} skipped, {pages.failed} failed")
    connection = sqlite3.connect(database)
    number, size = connection.execute("select count(*), sum(length(body)) from pages").fetchone()
    print(f"in the database: {number} pages, {size} bytes")
    connection.close()


if len(sys.argv) > 1:
    main(sys.argv[1])
else:
    with tempfile.TemporaryDirectory() as directory:
        main(Path(directory, "pages.db"))
