import { connect, createServer, type Server } from "node:net";
import type { Child } from "./child.ts";

const acceptPollMs = 20;
const acceptPolls = 500;
const rowAttempts = 50;

/** Ports of loopback that were free a moment ago, for programs that can't be asked which one they took. */
export async function freePorts(count: number): Promise<number[]> {
  const holders = await Promise.all(Array.from({ length: count }, () => hold(0)));
  const ports = holders.map(portOf);
  await Promise.all(holders.map(release));
  return ports;
}

/** The first of `count` free ports in a row. */
export async function freeRow(count: number): Promise<number> {
  for (let attempt = 0; attempt < rowAttempts; attempt++) {
    const holders = [await hold(0)];
    const first = portOf(holders[0]);
    try {
      for (let next = 1; next < count; next++) holders.push(await hold(first + next));
      return first;
    } catch {
      // One of them is taken: another row.
    } finally {
      await Promise.all(holders.map(release));
    }
  }
  throw new Error(`no ${count} free ports in a row`);
}

/** Resolves when something accepts there; rejects when `child`, which should, has ended or is too slow. */
export async function accepts(host: string, port: number, child: Child): Promise<void> {
  for (let poll = 0; poll < acceptPolls; poll++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, host);
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (open && child.running) return;
    if (!child.running) break;
    await Bun.sleep(acceptPollMs);
  }
  throw new Error(`${child.name} does not accept on ${port}: ${child.complaint}`);
}

function hold(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const holder = createServer();
    holder.once("error", reject);
    holder.listen(port, "127.0.0.1", () => resolve(holder));
  });
}

function portOf(holder: Server | undefined): number {
  const address = holder?.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function release(holder: Server): Promise<unknown> {
  return new Promise((resolve) => holder.close(resolve));
}
