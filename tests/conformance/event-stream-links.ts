import { EventLinks } from "../../relay/event-links.ts";
import { EventPosts } from "../../relay/ingress/event-posts.ts";
import { wholeAnswer } from "../../relay/ingress/whole-answer.ts";
import type { Clock } from "../../shared/clock.ts";
import { RelayDialer } from "../../shared/dial/dial.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { RequestHead } from "../../shared/http1/head.ts";
import { HttpReader } from "../../shared/http1/reader.ts";
import type { Link } from "../../shared/link.ts";
import { SocketSink } from "../../shared/links/event-stream-sink.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { systemClock as clock } from "../../shared/runtimes/system-clock.ts";
import type { Dial, Listen, Socket } from "../../shared/socket.ts";

/** What is done to the POSTs on their way. */
export interface Meddling {
  /** A POST came; "cut": its socket goes before it is answered, "drop": before the relay has read it. */
  post?(number: number): "cut" | "drop" | undefined;
  /** The agent's. */
  readonly clock?: Clock;
}

export interface EventStreamPair {
  readonly agent: Link;
  readonly relay: Link;
  /** Sockets that brought POSTs so far. */
  readonly postSockets: number;
  close(): void;
}

/** Both ends of a link of events and POSTs over real sockets: the agent's dialler, and the relay's pieces behind a reader. */
export async function eventStreamLinks(
  { dial, listen }: { readonly dial: Dial; readonly listen: Listen },
  meddling: Meddling = {},
): Promise<EventStreamPair> {
  const links = new EventLinks({
    clock,
    memory: new Memory(0),
    random: (bytes) => crypto.getRandomValues(bytes),
  });
  const posts = new EventPosts(links, () => {});
  const sockets = new Set<Socket>();
  const { promise: opened, resolve } = Promise.withResolvers<Link>();
  let postSockets = 0;
  const listener = await listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    sockets.add(socket);
    let posting = false;
    const take = (head: RequestHead): ((bytes: Uint8Array | undefined) => void) | undefined => {
      if (head.method === "GET") {
        const fields = ["Content-Type", "text/event-stream"];
        socket.write(wholeAnswer(200, fields, new Uint8Array(0)));
        reader.detach();
        resolve(links.open("blue", new SocketSink(socket)));
        return undefined;
      }
      if (!posting) postSockets++;
      posting = true;
      const at = head.fields.indexOf("Underpass-Sequence");
      const fate = meddling.post?.(Number(head.fields[at + 1]));
      if (fate === "drop") {
        socket.destroy();
        return undefined;
      }
      const way = posts.begin(head, head.target, (bytes, { keepAlive }) => {
        if (fate === "cut") socket.destroy();
        else socket.write(bytes);
        if (keepAlive) clock.soon(() => reader.next());
        else socket.end();
      });
      return way?.body;
    };
    let body: ((bytes: Uint8Array | undefined) => void) | undefined;
    const reader: HttpReader<"request"> = new HttpReader("request", {
      head(head) {
        body = take(head);
      },
      body: (bytes) => body?.(bytes),
      trailers() {},
      end: () => body?.(undefined),
      fault: () => socket.destroy(),
    });
    socket.handler = {
      data: (bytes) => reader.push(bytes),
      drained() {},
      ended: () => socket.end(),
      closed: () => sockets.delete(socket),
    };
  });
  const relay = new URL(`http://127.0.0.1:${listener.port}`);
  const dialer = new RelayDialer({ relay, dial, clock: meddling.clock ?? clock, insecure: false });
  const agent = await new Promise<Link | UnderpassError>(
    (done) => void dialer.openEventLink({ name: "blue", kind: "http" }, undefined, done),
  );
  if (agent instanceof UnderpassError) throw agent;
  return {
    agent,
    relay: await opened,
    get postSockets() {
      return postSockets;
    },
    close() {
      agent.destroy();
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
