import type { Clock } from "../clock.ts";
import type { ResponseHead } from "../http1/head.ts";
import { HttpReader } from "../http1/reader.ts";
import type { EventBody } from "../links/event-stream-agent.ts";
import type { Dial, DialFailure, DialTarget, Socket } from "../socket.ts";

export interface HttpCallOptions {
  readonly dial: Dial;
  readonly clock: Clock;
  readonly target: DialTarget;
  readonly method: string;
  /** The whole request, body included. It asks for `Connection: close`, or for an upgrade. */
  readonly request: Uint8Array;
  /** For everything up to the end of the answer, or the 101. */
  readonly timeoutMs: number;
  /** Whether the body of the answer with this head is to be handed on as it comes. */
  readonly streams?: (head: ResponseHead) => boolean;
  /** Something takes the request. */
  readonly reached?: () => void;
  readonly done: (result: HttpCallResult) => void;
}

export type HttpCallResult =
  | { readonly kind: "answer"; readonly head: ResponseHead; readonly body: string }
  /** 101: the socket is handed on, with what came behind the head. Set its handler at once. */
  | {
      readonly kind: "upgraded";
      readonly head: ResponseHead;
      readonly socket: Socket;
      readonly early: Uint8Array;
    }
  /** What `streams` asked for: set the body's handler at once. */
  | { readonly kind: "streaming"; readonly head: ResponseHead; readonly body: EventBody }
  /** What answered does not speak HTTP. */
  | { readonly kind: "invalid"; readonly detail: string }
  | {
      readonly kind: "failed";
      readonly reason: DialFailure;
      readonly detail: string;
      /** Something took the request. */
      readonly reached: boolean;
    };

const limits = {
  maxHeadBytes: 16_384,
  /** Only problem details and small JSON are read; more is cut off. */
  maxBodyBytes: 16_384,
} as const;

/** One HTTP exchange with a relay on a socket of its own, bounded in size and time. `done` is called once, never from inside. Returns what gives up. */
export function httpCall(options: HttpCallOptions): () => void {
  const { clock, timeoutMs, method } = options;
  let over = false;
  let socket: Socket | undefined;
  let head: ResponseHead | undefined;
  let body = "";
  let bodyBytes = 0;
  let streamed: { readonly body: EventBody; closed(): void } | undefined;
  const decoder = new TextDecoder();
  const finish = (result: HttpCallResult): void => {
    if (over) return;
    over = true;
    cancelTimer();
    if (result.kind !== "upgraded" && result.kind !== "streaming") socket?.destroy();
    options.done(result);
  };
  const failed = (reason: DialFailure, detail: string): void =>
    finish({ kind: "failed", reason, detail, reached: socket !== undefined });
  /** Whatever ends the exchange once the final head is there, the head is the answer. */
  const answered = (): boolean => {
    if (head !== undefined) finish({ kind: "answer", head, body });
    return head !== undefined;
  };
  const cancelTimer = clock.at(clock.now() + timeoutMs, () => {
    if (!answered()) failed("timeout", `No answer within ${timeoutMs} ms.`);
    // Before `opened` there is no socket yet to drop.
    cancelDial();
  });
  const reader: HttpReader<"response"> = new HttpReader(
    "response",
    {
      head(got) {
        if (got.status >= 200 || got.status === 101) head = got;
        if (socket === undefined || over || options.streams?.(got) !== true) return;
        streamed = bodyOver(socket);
        finish({ kind: "streaming", head: got, body: streamed.body });
      },
      body(bytes) {
        if (streamed !== undefined) {
          streamed.body.handler.data(bytes);
          return;
        }
        const room = limits.maxBodyBytes - bodyBytes;
        bodyBytes += bytes.length;
        body += decoder.decode(bytes.subarray(0, Math.max(0, room)), { stream: true });
        if (bodyBytes > limits.maxBodyBytes) answered();
      },
      trailers() {},
      end: () => {
        if (streamed !== undefined) streamed.closed();
        else answered();
      },
      fault(fault) {
        if (streamed !== undefined) {
          streamed.closed();
          return;
        }
        if (answered()) return;
        if (fault.code === "origin-closed") failed("failed", "It closed before it had answered.");
        else finish({ kind: "invalid", detail: fault.message });
      },
    },
    limits,
  );
  const cancelDial = options.dial(options.target, timeoutMs, {
    opened(opened) {
      socket = opened;
      options.reached?.();
      opened.handler = {
        data(bytes) {
          reader.push(bytes);
          // Not from inside the reader: only now is known what came behind the head.
          if (head?.status === 101 && !over)
            finish({ kind: "upgraded", head, socket: opened, early: reader.detach() });
        },
        drained() {},
        ended: () => {
          reader.finish();
          failed("failed", "It closed before it had answered.");
        },
        closed: ({ reset }) => {
          if (streamed !== undefined) streamed.closed();
          if (!reset) reader.finish();
          if (!answered()) failed("failed", "It closed before it had answered.");
        },
      };
      reader.expect(method);
      opened.write(options.request);
    },
    failed,
  });
  return () => {
    if (over) return;
    over = true;
    cancelTimer();
    cancelDial();
    socket?.destroy();
  };
}

/** An answer's body on `socket`, which is its alone. */
function bodyOver(socket: Socket): { readonly body: EventBody; closed(): void } {
  let over = false;
  const body: EventBody = {
    handler: { data() {}, closed() {} },
    destroy() {
      over = true;
      socket.destroy();
    },
  };
  return {
    body,
    closed() {
      if (over) return;
      body.destroy();
      body.handler.closed();
    },
  };
}
