import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { SocksVisitor } from "../blackbox/matrix/socks-visitor.ts";
import { visitSocks } from "../blackbox/matrix/visits.ts";
import { agentProgram } from "../blackbox/programs/agent.ts";
import { freePort } from "../blackbox/programs/free-port.ts";
import { installed } from "../blackbox/programs/installed.ts";
import { Program } from "../blackbox/programs/program.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { Opener } from "../blackbox/raw/opener.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { askHttp, askSocks } from "../blackbox/raw/proxy-visitor.ts";
import { Wire } from "../blackbox/raw/wire.ts";
import { refusedTargets } from "../shared/egress-targets.ts";
import { ByteEcho } from "./byte-echo.ts";
import { NameService, type NameZone } from "./name-service.ts";
import { startWorkerdRelay } from "./workerd-relay.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;
const curl = installed("curl");
const everything = ["*:*", "0.0.0.0/0:*", "[::]/0:*"];
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Each as its case wants it. */
class Listener {
  private constructor(private readonly raw: Server) {}

  static async listen(accept: (socket: Socket) => void): Promise<Listener> {
    const raw = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      accept(socket);
    });
    await new Promise<void>((resolve) => raw.listen(0, "127.0.0.1", resolve));
    return new Listener(raw);
  }

  get port(): number {
    return (this.raw.address() as AddressInfo).port;
  }

  [Symbol.dispose](): void {
    this.raw.close();
  }
}

describe("egress at a relay on workerd", () => {
  let names: NameService;
  let relay: Relay;
  let echo: ByteEcho;
  let origin: RawOrigin;
  const programs: Program[] = [];
  const openers: Opener[] = [];

  beforeAll(async () => {
    const zone: Record<string, NameZone[string]> = {
      "origin.example": [["127.0.0.1"]],
      "both.example": [["127.0.0.2", "127.0.0.1"]],
      "elsewhere.example": [["192.0.2.1"]],
    };
    for (const { target, answers } of refusedTargets)
      if (answers !== undefined) zone[target.toLowerCase().replace(/\.?:\d+$/, "")] = answers;
    names = NameService.listen(zone);
    [relay, echo, origin] = await Promise.all([
      startWorkerdRelay({ dnsUrl: names.url, args: ["--domain", "relay.example"] }),
      ByteEcho.listen(),
      RawOrigin.listen(answerOk),
    ]);
  }, testLimitMs);
  afterAll(async () => {
    for (const opener of openers) await opener.close();
    for (const program of programs) await program.kill();
    await relay?.stop();
    await names?.close();
    await origin?.close();
    echo?.close();
  });

  async function opener(...egress: readonly string[]): Promise<Opener> {
    const made = await Opener.connect(relay, await relay.token({ egress }));
    openers.push(made);
    return made;
  }

  /** The port of `agent proxy` with a token that grants `egress`. */
  async function proxy(...egress: readonly string[]): Promise<number> {
    const args = ["proxy", "--listen", "127.0.0.1:0", "--relay", relay.url, "--json"];
    const program = agentProgram(args, { env: { UNDERPASS_TOKEN: await relay.token({ egress }) } });
    programs.push(program);
    return Number(new URL(String((await program.event("ready"))["url"])).port);
  }

  test.skipIf(curl === undefined)(
    "lets curl out by SOCKS5 and HTTP, to addresses and to names that its name service knows",
    async () => {
      const port = await proxy(`127.0.0.1:${origin.port}`, `origin.example:${origin.port}`, "*.example:80");
      const fetched = async (...args: readonly string[]) => {
        const program = new Program([curl ?? "", "-q", "-sS", "-m", "20", "--noproxy", "", ...args]);
        return [await program.exit(), program.stdout];
      };
      for (const way of [
        ["--socks5-hostname", `127.0.0.1:${port}`],
        ["-x", `http://127.0.0.1:${port}`],
        ["-p", "-x", `http://127.0.0.1:${port}`],
      ])
        for (const host of ["127.0.0.1", "origin.example"])
          expect(await fetched(...way, `http://${host}:${origin.port}/`)).toEqual([0, "ok"]);
      expect(names.asked).toContain("origin.example A");
      expect(names.asked).toContain("origin.example AAAA");
      // Nobody listens at the first of two addresses.
      const both = await proxy(`both.example:${origin.port}`);
      expect(await askSocks(both, "both.example", origin.port)).toEqual({ socks: 0 });
    },
    testLimitMs,
  );

  test(
    "carries 6 MiB both ways at once, and a half-close with it",
    async () => {
      const port = await proxy(`127.0.0.1:${echo.port}`);
      await visitSocks(port, echo.port, () => {});
      using late = await Listener.listen((socket) => {
        let bytes = 0;
        socket.on("data", (piece) => (bytes += piece.length));
        socket.on("end", () => socket.end(`${bytes} bytes`));
      });
      const wire = new Wire(
        await SocksVisitor.connect(await proxy(`127.0.0.1:${late.port}`), "127.0.0.1", late.port),
      );
      await wire.send(Buffer.alloc(200_000));
      wire.end();
      let heard = "";
      for (let piece = await wire.some(); piece; piece = await wire.some()) heard += Buffer.from(piece);
      expect(heard).toBe("200000 bytes");
    },
    testLimitMs,
  );

  test(
    "what nobody takes is left where it came from, in both directions, and comes whole in the end",
    async () => {
      const content = randomBytes(64 * mebibyte);
      let sent = 0;
      using source = await Listener.listen((socket) => {
        const pump = (): void => {
          while (sent < content.length) {
            const piece = content.subarray(sent, sent + 65_536);
            sent += piece.length;
            if (!socket.write(piece)) return;
          }
          socket.end();
        };
        socket.on("drain", pump);
        pump();
      });
      const stalled = Promise.withResolvers<Socket>();
      using sink = await Listener.listen((socket) => {
        socket.pause();
        stalled.resolve(socket);
      });
      const port = await proxy("127.0.0.1/32:*");
      const down = await SocksVisitor.connect(port, "127.0.0.1", source.port);
      const up = await SocksVisitor.connect(port, "127.0.0.1", sink.port);
      let taken = 0;
      const give = (): void => {
        while (taken < content.length && up.write(content.subarray(taken, (taken += 65_536))));
      };
      up.on("drain", give);
      give();
      const held = await stalled.promise;
      // Meanwhile as much again goes through the same object, to those who take it.
      for (let round = 0; round < 4; round++) await visitSocks(port, echo.port, () => {});
      expect([sent < 24 * mebibyte, taken < 24 * mebibyte]).toEqual([true, true]);

      const arrived = createHash("sha256");
      for await (const piece of down as AsyncIterable<Uint8Array>) arrived.update(piece);
      expect(arrived.digest("hex")).toBe(sha256(content));
      const received = createHash("sha256");
      up.on("drain", () => taken >= content.length && up.end());
      for await (const piece of held as AsyncIterable<Uint8Array>) received.update(piece);
      expect(received.digest("hex")).toBe(sha256(content));
      held.end();
    },
    testLimitMs,
  );

  test(
    "refuses every target of the table, whatever its name resolves to, and its own names",
    async () => {
      const asks = await opener(...everything);
      for (const { target, why } of refusedTargets) {
        const code = await asks.tcp(target);
        // The newest workerd takes for a name what can't be one, and then there is none.
        const isNone = why === "not a host name" && code === "origin-not-found";
        expect([why, target, isNone ? "egress-denied" : code]).toEqual([why, target, "egress-denied"]);
      }
      const before = names.asked.length;
      const own = await opener(...everything, "relay.example:443", "blue.relay.example:443");
      for (const target of ["relay.example:443", "blue.relay.example:443", "RELAY.example.:443"])
        expect([target, await own.tcp(target)]).toEqual([target, "egress-denied"]);
      expect(names.asked.length).toBe(before);
    },
    testLimitMs,
  );

  test(
    "tells what can't be reached, and that it has no datagrams",
    async () => {
      const closed = await freePort();
      const asks = await opener(`127.0.0.1:${closed},${echo.port}`, "*.example:80", "elsewhere.example:81");
      // The platform does not tell a refusal from the rest.
      for (let time = 0; time < 10; time++)
        expect(await asks.tcp(`127.0.0.1:${closed}`)).toBe("origin-unreachable");
      expect(await asks.tcp("nobody.example:80")).toBe("origin-not-found");
      expect(await asks.tcp(`127.0.0.1:${echo.port + 1}`)).toBe("egress-denied");
      expect((await asks.udp(`127.0.0.1:${echo.port}`)).outcome).toBe("kind-unknown");
      const port = await proxy(`127.0.0.1:${closed}`);
      expect(await askSocks(port, "127.0.0.1", closed)).toEqual({ socks: 4 });
      const head = `GET http://127.0.0.1:${closed}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
      expect(await askHttp(port, head)).toEqual({ status: 502, code: "origin-unreachable" });
    },
    testLimitMs,
  );

  test(
    "has six sockets: the seventh is refused at once, and let in when one is free again",
    async () => {
      const port = await proxy(`127.0.0.1:${echo.port}`);
      const six = await Promise.all(
        Array.from({ length: 6 }, () => SocksVisitor.connect(port, "127.0.0.1", echo.port)),
      );
      const head = `GET http://127.0.0.1:${echo.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
      expect(await askHttp(port, head)).toEqual({ status: 503, code: "too-many-streams" });
      expect(await askSocks(port, "127.0.0.1", echo.port)).toEqual({ socks: 1 });
      const [first, second] = six.map((socket) => new Wire(socket));
      first?.end();
      expect(await first?.over).toBe("fin");
      expect(await askSocks(port, "127.0.0.1", echo.port)).toEqual({ socks: 0 });
      // The others were not disturbed.
      await second?.send("still here");
      expect(Buffer.from((await second?.some()) ?? []).toString()).toBe("still here");
      for (const socket of six) socket.destroy();
    },
    testLimitMs,
  );

  test(
    "a reset by the target is one for the program",
    async () => {
      using breaking = await Listener.listen((socket) => {
        socket.once("data", () => socket.resetAndDestroy());
      });
      const wire = new Wire(
        await SocksVisitor.connect(await proxy(`127.0.0.1:${breaking.port}`), "127.0.0.1", breaking.port),
      );
      await wire.send("x");
      expect(await wire.over).toBe("reset");
    },
    testLimitMs,
  );
});
