/**
 * Runs in workerd in place of relay/runtimes/workers.ts: the same Worker and object, counted where things come in and
 * go out. The counts belong to the isolate, which objects come and go in, and asking for them reaches no object.
 */
import relay, { TunnelObject as Plain, OwnerObject as PlainOwner } from "../../relay/runtimes/workers.ts";
import type { ObjectCounts } from "./object-counts.ts";

type Env = Parameters<typeof relay.fetch>[1];
type Counts = { -readonly [count in keyof ObjectCounts]: ObjectCounts[count] };

/** What is read of the object's own state, which it keeps to itself. */
interface Inside {
  readonly sleep: { readonly isResting: boolean; readonly busyMs: number };
}

const byName = new Map<string, { readonly counts: Counts; object: Inside; busyBeforeMs: number }>();
let workerRequests = 0;
let ownerCalls = 0;
const sockets = { sent: 0, sentBytes: 0 };

/** Of all objects; each knows only its own. */
const timers = new Set<ReturnType<typeof setTimeout>>();
const { setTimeout: setPlain } = globalThis;
globalThis.setTimeout = ((run: () => void, ms?: number) => {
  const timer = setPlain(run, ms);
  timers.add(timer);
  return timer;
}) as typeof setTimeout;

const { send } = WebSocket.prototype;
WebSocket.prototype.send = function (data) {
  sockets.sent++;
  sockets.sentBytes += typeof data === "string" ? data.length : (data as ArrayBufferView).byteLength;
  send.call(this, data);
};

const none: ObjectCounts = {
  ...{
    workerRequests: 0,
    ownerCalls: 0,
    constructed: 0,
    fetches: 0,
    calls: 0,
    dials: 0,
    messages: 0,
    messageBytes: 0,
    alarms: 0,
  },
  ...{ rowsRead: 0, rowsWritten: 0, sent: 0, sentBytes: 0, busyMs: 0, resting: false },
};

function countsOf(name: string): ObjectCounts {
  const entry = byName.get(name);
  if (entry === undefined) return none;
  const { counts, object, busyBeforeMs } = entry;
  const { isResting: resting, busyMs } = object.sleep;
  return { ...counts, ...sockets, workerRequests, ownerCalls, resting, busyMs: busyBeforeMs + busyMs };
}

export class TunnelObject extends Plain {
  readonly #counts: Counts;

  constructor(ctx: DurableObjectState, env: Env) {
    const name = ctx.id.name ?? "";
    const before = byName.get(name);
    const counts = before?.counts ?? { ...none };
    countRows(ctx.storage, counts);
    super(ctx, env);
    const busyBeforeMs = before === undefined ? 0 : before.busyBeforeMs + before.object.sleep.busyMs;
    byName.set(name, { counts, object: this as unknown as Inside, busyBeforeMs });
    counts.constructed++;
    this.#counts = counts;
  }

  override fetch(request: Request): Promise<Response> {
    this.#counts.fetches++;
    if (new URL(request.url).pathname.startsWith("/_underpass/links/")) this.#counts.dials++;
    return super.fetch(request);
  }

  override claim(...args: Parameters<Plain["claim"]>): ReturnType<Plain["claim"]> {
    this.#counts.calls++;
    return super.claim(...args);
  }

  override webSocketMessage(socket: WorkersSocket, data: string | ArrayBuffer): void {
    this.#counts.messages++;
    this.#counts.messageBytes += typeof data === "string" ? data.length : data.byteLength;
    super.webSocketMessage(socket, data);
  }

  override alarm(): void {
    this.#counts.alarms++;
    super.alarm();
  }

  /** Ends at once, whatever is under way. */
  async abort(): Promise<void> {
    (this.ctx as unknown as { abort(reason: string): void }).abort("aborted by a test");
  }

  /** Does nothing more until something comes: there is no timer left that would keep it. */
  async halt(): Promise<void> {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
  }
}

export class OwnerObject extends PlainOwner {
  override revokedUntil(): ReturnType<PlainOwner["revokedUntil"]> {
    ownerCalls++;
    return super.revokedUntil();
  }
}

/** A key is a row, and so is an alarm; a deletion is a row written. */
function countRows(storage: DurableObjectState["storage"], counts: Counts): void {
  const { list, getAlarm, put, setAlarm, deleteAlarm } = storage;
  const remove = storage.delete;
  Object.assign(storage, {
    async list<T>(): Promise<Map<string, T>> {
      const found = await list.call(storage);
      counts.rowsRead += Math.max(1, found.size);
      return found as Map<string, T>;
    },
    getAlarm() {
      counts.rowsRead++;
      return getAlarm.call(storage);
    },
    put(key: string, value: unknown) {
      counts.rowsWritten++;
      return put.call(storage, key, value);
    },
    delete(key: string) {
      counts.rowsWritten++;
      return remove.call(storage, key);
    },
    setAlarm(atMs: number) {
      counts.rowsWritten++;
      return setAlarm.call(storage, atMs);
    },
    deleteAlarm() {
      counts.rowsWritten++;
      return deleteAlarm.call(storage);
    },
  });
}

async function end(name: string, { TUNNELS }: Env, how: "abort" | "halt"): Promise<Response> {
  const stub = TUNNELS.get(TUNNELS.idFromName(name)) as unknown as TunnelObject;
  // A call that ends the object fails with it.
  await stub[how]().catch(() => {});
  return new Response();
}

export default {
  fetch(request: Request, env: Env): Promise<Response> | Response {
    const { hostname, pathname } = new URL(request.url);
    const name = pathname.slice(1);
    if (hostname === "counts.test") return Response.json(countsOf(name));
    if (hostname === "abort.test") return end(name, env, "abort");
    if (hostname === "halt.test") return end(name, env, "halt");
    workerRequests++;
    return relay.fetch(request, env);
  },
};
