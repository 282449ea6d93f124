import assert from "node:assert/strict";
import type { Dial, DialFailure, DialTarget, Listen, Listener, Socket } from "../../shared/socket.ts";

/** What an adapter of shared/socket.ts is tested with, on whatever runtime. */
export interface SocketCaseContext {
  readonly dial: Dial;
  readonly listen: Listen;
  /** PEM texts for `tunnel.test`, signed by itself. */
  readonly cert: string;
  readonly key: string;
  /** Path of a unix socket that echoes. */
  readonly unixEcho: string;
}

export type Run = (context: SocketCaseContext) => Promise<void>;

export const mebibyte = 1_048_576;

export function open(context: SocketCaseContext, target: DialTarget, timeoutMs = 5_000): Promise<Socket> {
  return new Promise((resolve, reject) => {
    context.dial(target, timeoutMs, {
      opened: resolve,
      failed: (reason, detail) => reject(new Error(`${reason}: ${detail}`)),
    });
  });
}

export function failure(
  context: SocketCaseContext,
  target: DialTarget,
  timeoutMs = 5_000,
): Promise<DialFailure> {
  return new Promise((resolve, reject) => {
    let inside = true;
    context.dial(target, timeoutMs, {
      opened: () => reject(new Error("it opened")),
      failed: (reason) => {
        assert.equal(inside, false, "failed was called from inside dial");
        resolve(reason);
      },
    });
    inside = false;
  });
}

/** A listener on loopback, and a pair of sockets through it. */
export async function pair(
  context: SocketCaseContext,
  how: { tls?: boolean; host?: string } = {},
  run: (near: Socket, far: Socket, listener: Listener) => Promise<void>,
): Promise<void> {
  const host = how.host ?? "127.0.0.1";
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const { cert, key } = context;
  const listener = await context.listen({ host, port: 0, ...(how.tls && { tls: { cert, key } }) }, resolve);
  const tls = how.tls && { serverName: "tunnel.test", insecure: true };
  const near = await open(context, { host, port: listener.port, ...(tls && { tls }) });
  const far = await promise;
  try {
    await run(near, far, listener);
  } finally {
    near.destroy();
    far.destroy();
    listener.close();
  }
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Each byte is told by its place, so that a lost or doubled piece shows. */
export function pattern(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
  return new Uint8Array(words.buffer);
}

/** A case: its name is a sentence that holds for an adapter. */
export interface SocketCase {
  readonly name: string;
  readonly run: Run;
  /** Why the case can't hold there. */
  readonly skipOnDeno?: string;
  /** Why it can't hold over `node:net` and `node:tls`, on whatever runtime. */
  readonly skipOnNode?: string;
}
