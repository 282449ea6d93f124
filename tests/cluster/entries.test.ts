import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import type { Server } from "node:net";
import { connect } from "node:net";
import { agentProgram } from "../blackbox/programs/agent.ts";
import { freePorts } from "../blackbox/programs/free-port.ts";
import type { Program } from "../blackbox/programs/program.ts";
import type { RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { startAgents } from "./agents.ts";
import { Cluster } from "./cluster.ts";
import { startByteEcho, startWebEcho } from "./echo-origin.ts";
import { natsServerPath } from "./nats-server.ts";

const testLimitMs = 60_000;
const portCount = 10;
const webs = Array.from({ length: 9 }, (_, i) => `web-${i}`);
/** Of them and of three that carry bytes. */
const tunnelCount = 12;

async function all(port: number, address: string, text: string): Promise<string> {
  const socket = connect({ port, host: address, allowHalfOpen: true });
  let heard = "";
  socket.on("data", (bytes) => void (heard += String(bytes)));
  socket.end(text);
  await once(socket, "end");
  return heard;
}

for (const neighbours of ["direct", "bus"] as const)
  describe.skipIf(natsServerPath === undefined)(
    `three relays that reach each other ${neighbours === "bus" ? "over NATS alone" : "directly"}`,
    () => {
      let cluster: Cluster;
      let web: RawOrigin;
      let bytes: { readonly port: number; readonly server: Server };
      let low = 0;
      const programs: Program[] = [];
      /** Public ports that tunnels were given. */
      const given = (): number[] => {
        const events = programs.flatMap((program) => program.events);
        const ready = events.filter(({ event, kind }) => event === "ready" && kind === "tcp");
        return ready.map(({ url }) => Number(new URL(String(url)).port));
      };

      beforeAll(async () => {
        [web, bytes] = await Promise.all([startWebEcho("web"), startByteEcho()]);
        low = await freePorts(portCount);
        const args = ["--tcp-ports", `${low}-${low + portCount - 1}`];
        cluster = await Cluster.start({ neighbours, args });
        const at = (i: number) => ({ relay: cluster.relay(i % 3).url, links: 1 });
        const tunnels = [
          ...webs.map((name, i) => ({ name, port: web.port, ...at(i) })),
          { name: "bytes-0", tcp: bytes.port, ...at(0) },
          { name: "bytes-1", tcp: bytes.port, ...at(1) },
          { name: "box", private: bytes.port, ...at(2) },
        ];
        programs.push(await startAgents({ token: await cluster.token(), tunnels }));
        await cluster.known(tunnelCount);
      }, testLimitMs);

      afterAll(async () => {
        await Promise.all(programs.map((program) => program.kill()));
        await cluster?.[Symbol.asyncDispose]();
        await web?.close();
        bytes?.server.close();
      });

      test(
        "each of them takes the visitors of all tunnels, by http and by WebSocket",
        async () => {
          for (const entry of cluster.relays.keys())
            for (const name of webs) {
              const target = cluster.target(name, entry);
              using visitor = await Visitor.connect(target);
              const body = `${name} at ${entry}`;
              await visitor.send(
                `POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
              );
              const { status, body: answer } = await visitor.answer();
              expect([status, await answer.text()]).toEqual([200, `web ${body}`]);
              using socket = await RawWebSocket.connect(target);
              for (const word of ["one", "two"]) {
                await socket.send(opcodes.text, word);
                expect(await socket.text()).toBe(`web ${word}`);
              }
            }
          const statuses = await Promise.all(cluster.relays.map((relay) => relay.status()));
          // Two of three relays are the wrong one.
          expect(statuses.map(({ hops }) => hops > 0)).toEqual([true, true, true]);
          const way = neighbours === "bus" ? "bus" : "direct";
          for (const { nodes } of statuses) expect(nodes.map(({ link }) => link)).toEqual([way, way]);
        },
        testLimitMs,
      );

      test(
        "a request for a tunnel that nobody has is answered at once, at each of them",
        async () => {
          for (const entry of cluster.relays.keys())
            expect((await visit(cluster.target("nobody", entry))).status).toBe(404);
        },
        testLimitMs,
      );

      test(
        "a tcp port is open on all of them, and is the same tunnel's",
        async () => {
          const ports = given();
          expect(new Set(ports).size).toBe(2);
          for (const port of ports)
            for (const { address } of cluster.relays) {
              const text = `to ${port} at ${address} `.repeat(20_000);
              expect(await all(port, address, text)).toBe(text);
            }
        },
        testLimitMs,
      );

      test(
        "a port that one relay has given away is given to nobody else at another, and is free when its tunnel has gone",
        async () => {
          const token = await cluster.token();
          const taken = given();
          const free = Array.from({ length: portCount }, (_, i) => low + i).find(
            (port) => !taken.includes(port),
          );
          const port = String(free);
          const claim = (index: number, name: string, sub: string): Promise<Program> => {
            const wish = ["tcp", String(bytes.port), "--remote-port", port, "--name", name];
            return (async () => {
              const env = { UNDERPASS_TOKEN: sub === "" ? token : await cluster.token({ sub }) };
              const program = agentProgram([...wish, "--relay", cluster.relay(index).url, "--json"], { env });
              programs.push(program);
              return program;
            })();
          };
          await (await claim(0, "first", "")).event("ready");
          await cluster.known(tunnelCount + 1);
          const refused = await claim(1, "second", "another");
          const error = await refused.event("error");
          expect(error["code"]).toBe("port-taken");
          await refused.kill();
        },
        testLimitMs,
      );

      test(
        "a private tunnel at one of them is reached by an agent at another",
        async () => {
          const token = await cluster.token({ connect: ["box"] });
          for (const index of cluster.relays.keys()) {
            const args = ["connect", "box", "--listen", "127.0.0.1:0", "--relay", cluster.relay(index).url];
            const program = agentProgram([...args, "--json"], { env: { UNDERPASS_TOKEN: token } });
            programs.push(program);
            const { url } = await program.event("ready");
            const text = `box from ${index} `.repeat(20_000);
            expect(await all(Number(new URL(String(url)).port), "127.0.0.1", text)).toBe(text);
          }
        },
        testLimitMs,
      );
    },
  );
