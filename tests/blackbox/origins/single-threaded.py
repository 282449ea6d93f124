"""A WSGI server of the kind that development uses: HTTP/1.1 with keep-alive, one thread, one connection at a time.
While it waits on an idle connection it answers nobody else. Prints its port."""

import http.server
import wsgiref.handlers


def app(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    answer = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


class Gateway(wsgiref.handlers.SimpleHandler):
    http_version = "1.1"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        environ = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": self.path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "0",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": self.headers.get("content-length", ""),
        }
        handler = Gateway(self.rfile, self.wfile, None, environ, multithread=False)
        handler.request_handler = self
        handler.run(app)

    do_GET = do_POST = serve

    def log_message(self, *args):
        pass


class Server(http.server.HTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
