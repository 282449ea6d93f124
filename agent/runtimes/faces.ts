import type { WriteStream } from "node:tty";
import type { FaceOptions } from "../command/options.ts";
import type { FleetEvent } from "../fleet/event.ts";
import { eventLine } from "../screen/events.ts";
import { logLine } from "../screen/log.ts";
import { visible } from "../screen/screen-text.ts";
import { LineWriter } from "./line-writer.ts";

/** Where events go: a screen for a person, lines for a program. */
export interface Face {
  show(event: FleetEvent): void;
  warn(text: string): void;
  /** `tunnel`: of several, the one that it is about. */
  blockedHost(tunnel?: string): void;
  stopping(open: number): void;
  /** Leaves terminal and pipes in order. */
  close(): Promise<void>;
}

/** What a face shows of, and what it does. */
export interface FacePlace {
  /** The relay's address for people; absent: there is none, or it is embedded. */
  readonly relay?: string | undefined;
  /** stdout carries the bytes of a tunnel (`connect --stdio`): nothing else goes there. */
  readonly stdoutTaken: boolean;
  /** What Ctrl-C does. */
  readonly interrupt: () => void;
  /** Nobody reads the `--json` lines any more. */
  readonly readerGone: () => void;
}

export async function chooseFace(options: FaceOptions, place: FacePlace): Promise<Face> {
  const face = await loudFace(options, place);
  if (!options.quiet) return face;
  return {
    ...face,
    show: (event) => event.event === "request" || event.event === "stream" || face.show(event),
  };
}

async function loudFace(options: FaceOptions, place: FacePlace): Promise<Face> {
  if (place.stdoutTaken) return options.json ? jsonFace(options, process.stderr, place) : quietFace(options);
  if (options.json) return jsonFace(options, process.stdout, place);
  if (!process.stdout.isTTY) return plainFace(options);
  // Loaded only here: its colours look at `process.stdout`, which then keeps a second descriptor of stdout open, so that
  // the reader of `connect --stdio` would not see the end (see StandardEnd).
  const { screenFace } = await import("./screen-face.ts");
  return screenFace(options, place);
}

function jsonFace(
  { verbose }: FaceOptions,
  stream: WriteStream & { readonly fd: number },
  { readerGone }: FacePlace,
): Face {
  const out = new LineWriter(stream, readerGone);
  const log = logFace({ verbose });
  const hasLog = stream.fd !== process.stderr.fd;
  return {
    ...log,
    show(event) {
      out.line(eventLine(event).trimEnd(), { droppable: isTraffic(event) });
      if (hasLog && (event.event === "error" || verbose)) log.show(event);
    },
    async close() {
      await Promise.all([out.finish(), log.close()]);
    },
  };
}

/** No terminal: a URL line for each tunnel on stdout, and the log on stderr. */
function plainFace({ verbose }: FaceOptions): Face {
  // Whoever has read the URL may leave.
  const out = new LineWriter(process.stdout, () => {});
  const log = logFace({ verbose });
  const printed = new Map<string | undefined, string>();
  return {
    ...log,
    show(event) {
      if (event.event === "ready" && event.url !== printed.get(event.entry)) {
        printed.set(event.entry, event.url);
        out.line(event.url, { droppable: false });
      }
      log.show(event);
    },
    async close() {
      await Promise.all([out.finish(), log.close()]);
    },
  };
}

/** As part of another program's pipe (ssh shows our stderr): errors, and the rest only where it was asked for. */
function quietFace({ verbose }: FaceOptions): Face {
  const log = logFace({ verbose });
  return {
    ...log,
    show(event) {
      if (event.event === "error" || verbose) log.show(event);
    },
    stopping() {},
  };
}

function logFace({ verbose }: { readonly verbose: boolean }): Face {
  const log = new LineWriter(process.stderr, () => {});
  const say = (text: string): void => log.line(text, { droppable: false });
  return {
    show(event) {
      const line = logLine(event, { verbose });
      if (line !== undefined) log.line(line, { droppable: isTraffic(event) });
    },
    warn: (text) => say(`warning: ${visible(text)}`),
    blockedHost: (tunnel) =>
      say(
        `hint: ${tunnel === undefined ? "this" : visible(tunnel)} looks like a dev server that refuses unknown hosts: try --host-header origin`,
      ),
    stopping: (open) => {
      if (open > 0) say(`stopping, finishing ${open} open exchanges`);
    },
    close: () => log.finish(),
  };
}

/** What there may be more of than a reader takes. */
function isTraffic(event: FleetEvent): boolean {
  return event.event === "request" || event.event === "stream";
}
