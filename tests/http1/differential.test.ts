import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { lastChunk } from "../../shared/http1/chunked.ts";
import { type RequestHead, type ResponseHead, writeRequestHead } from "../../shared/http1/head.ts";
import { decodeLatin1 } from "../../shared/http1/latin1.ts";
import { HttpReader } from "../../shared/http1/reader.ts";

/** Our reader and writer against node:http over real sockets: both must see the same messages. */

interface Seen {
  head: RequestHead | ResponseHead;
  body: string;
  trailers: string[];
}

/** Reads whole messages off a socket, one promise each. */
class SocketReader<S extends "request" | "response"> {
  readonly reader: HttpReader<S>;
  #done: PromiseWithResolvers<Seen> = Promise.withResolvers();
  #seen: Partial<Seen> = {};
  #body = "";

  constructor(side: S, socket: net.Socket) {
    this.reader = new HttpReader<S>(side, {
      head: (head) => {
        this.#seen = { head, trailers: [] };
      },
      body: (bytes) => {
        this.#body += decodeLatin1(bytes);
      },
      trailers: (trailers) => {
        this.#seen.trailers = trailers;
      },
      end: () => {
        this.#done.resolve({ ...this.#seen, body: this.#body } as Seen);
        this.#done = Promise.withResolvers();
        this.#body = "";
      },
      fault: (fault) => this.#done.reject(fault),
    });
    socket.on("data", (bytes: Uint8Array) => this.reader.push(bytes));
    socket.on("end", () => this.reader.finish());
  }

  get message(): Promise<Seen> {
    return this.#done.promise;
  }
}

const bodies = ["", "x", "hello".repeat(10), "0\r\n\r\n", "y".repeat(100_000)];

describe("node:http as origin", () => {
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("latin1");
      const told = JSON.stringify([
        request.method,
        request.url,
        request.httpVersion,
        request.rawHeaders,
        body,
      ]);
      const plan = new URL(request.url ?? "/", "http://a").searchParams;
      const answer = bodies[Number(plan.get("body"))] ?? "";
      response.setHeader("Told", Buffer.from(told.slice(0, 2_000)).toString("base64"));
      response.setHeader("Set-Cookie", ["a=1", "b=2"]);
      response.statusCode = Number(plan.get("status") ?? 200);
      if (plan.get("framing") === "length") response.setHeader("Content-Length", answer.length);
      else response.write("");
      if (answer.length > 3) response.write(answer.slice(0, 3));
      response.end(answer.length > 3 ? answer.slice(3) : answer);
    });
  });
  let socket: net.Socket;
  let origin: SocketReader<"response">;
  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    socket = net.connect(port, "127.0.0.1");
    origin = new SocketReader("response", socket);
  });
  afterAll(() => {
    socket.destroy();
    server.closeAllConnections();
    server.close();
  });

  for (const method of ["GET", "POST", "HEAD", "DELETE", "PROPFIND"]) {
    for (const framing of ["length", "chunked"]) {
      for (const body of bodies.keys()) {
        test(`${method}, answer ${framing} of ${bodies[body]?.length} bytes, on one socket`, async () => {
          const target = `/a%2Fb//c?framing=${framing}&body=${body}`;
          const upload = method === "GET" ? "" : (bodies[body] ?? "");
          const fields = ["Host", "a", "X-Two", "1", "x-TWO", "2", "Utf", "\xc3\xa9"];
          if (upload !== "") {
            if (framing === "length") fields.push("Content-Length", String(upload.length));
            else fields.push("Transfer-Encoding", "chunked");
          }
          const sent: RequestHead = { method, target, minor: 1, fields };
          origin.reader.expect(method);
          const { message } = origin;
          let text = `${writeRequestHead(sent)}\r\n`;
          if (upload !== "")
            text +=
              framing === "length" ? upload : `${upload.length.toString(16)}\r\n${upload}\r\n${lastChunk()}`;
          socket.write(Buffer.from(text, "latin1"));
          const got = await message;
          const head = got.head as ResponseHead;
          expect(head.status).toBe(200);
          expect(got.body).toBe(method === "HEAD" ? "" : (bodies[body] ?? ""));
          const told = Buffer.from(head.fields[head.fields.indexOf("Told") + 1] ?? "", "base64").toString();
          const expected = JSON.stringify([method, target, "1.1", fields, upload]);
          expect(told).toBe(expected.slice(0, 2_000));
          expect(head.fields.filter((_, i) => head.fields[i - 1] === "Set-Cookie")).toEqual(["a=1", "b=2"]);
        });
      }
    }
  }

  test("204 and 304 end at once on a socket that stays", async () => {
    for (const status of [204, 304, 200]) {
      origin.reader.expect("GET");
      const { message } = origin;
      socket.write(`GET /?status=${status}&body=0&framing=length HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect(((await message).head as ResponseHead).status).toBe(status);
    }
  });
});

describe("node:http as visitor", () => {
  const seen: Promise<Seen>[] = [];
  const arrived: (() => void)[] = [];
  const server = net.createServer((socket) => {
    const visitor = new SocketReader("request", socket);
    const answer = () => {
      const { message } = visitor;
      seen.push(message);
      arrived.shift()?.();
      message.then(
        () => {
          socket.write("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok");
          answer();
          visitor.reader.next();
        },
        () => socket.destroy(),
      );
    };
    answer();
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterAll(() => {
    agent.destroy();
    server.close();
  });

  for (const body of bodies.keys()) {
    for (const framing of ["length", "chunked"]) {
      test(`its upload, ${framing} of ${bodies[body]?.length} bytes, is read as it was sent`, async () => {
        const upload = bodies[body] ?? "";
        const { port } = server.address() as net.AddressInfo;
        const headers: Record<string, string | string[]> = { "X-Two": ["1", "2"], cAsE: "v" };
        if (framing === "length") headers["Content-Length"] = String(upload.length);
        else headers["Transfer-Encoding"] = "chunked";
        const before = seen.length;
        const request = http.request({
          port,
          host: "127.0.0.1",
          agent,
          method: "PUT",
          path: "/x%20y?z",
          headers,
        });
        if (upload.length > 3) request.write(upload.slice(0, 3));
        request.end(upload.length > 3 ? upload.slice(3) : upload);
        const [response] = (await once(request, "response")) as [http.IncomingMessage];
        response.resume();
        await once(response, "end");
        expect(response.statusCode).toBe(200);
        const messages = await Promise.all(seen.slice(Math.max(0, before - 1), -1));
        const got = messages.at(-1);
        expect((got?.head as RequestHead | undefined)?.target).toBe("/x%20y?z");
        expect((got?.head as RequestHead | undefined)?.fields.join("\n")).toContain("cAsE\nv");
        expect(got?.body).toBe(upload);
      });
    }
  }
});
