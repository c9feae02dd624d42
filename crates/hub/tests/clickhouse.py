"""ClickHouse for tests: chdb (from PyPI: the engine, in this process) behind as much of the HTTP interface as the hub uses.

usage: clickhouse.py PORT FOLDER; prints a line when it listens."""

import http.server
import sys
import tempfile
import urllib.parse

from chdb.session import Session

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
DATABASE = "amphipod"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            status = 200
            if "query" in parameters:
                # The engine in a process takes rows from files.
                with tempfile.NamedTemporaryFile() as rows:
                    rows.write(body)
                    rows.flush()
                    query = parameters["query"][0]
                    query = query.replace(" FORMAT ", f" FROM INFILE '{rows.name}' FORMAT ")
                    answer = session.query(query, "RowBinary").bytes()
            else:
                answer = session.query(body.decode(), "RowBinary").bytes()
        except Exception as error:
            status, answer = 500, str(error).encode()
        try:
            self.answer(status, answer)
        except ConnectionError:
            pass  # Who asked was killed.

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


session = Session(FOLDER)
session.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
session.query(f"USE {DATABASE}")
server = http.server.HTTPServer(("127.0.0.1", PORT), Handler)
print("listening", server.server_port, flush=True)
server.serve_forever()
