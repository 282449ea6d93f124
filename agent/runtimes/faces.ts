import { readFileSync } from "node:fs";
import manifest from "../../package.json" with { type: "json" };
import type { Composed } from "../compose.ts";
import { type AgentEvent, eventLine } from "../events.ts";
import { logLine } from "../log.ts";
import type { AgentOptions } from "../options.ts";
import { Screen, visible } from "../screen.ts";
import { bunPlatform } from "./bun.ts";
import { LineWriter } from "./line-writer.ts";

/** Where events go: a screen for a person, lines for a program. */
export interface Face {
  show(event: AgentEvent): void;
  warn(text: string): void;
  blockedHost(): void;
  stopping(open: number): void;
  /** Leaves terminal and pipes in order. */
  close(): Promise<void>;
}

/** `interrupt`: what Ctrl-C does. `readerGone`: nobody reads the `--json` lines any more. */
export function chooseFace(
  options: AgentOptions,
  composed: Composed,
  on: { readonly interrupt: () => void; readonly readerGone: () => void },
): Face {
  const face = loudFace(options, composed, on);
  if (!options.quiet) return face;
  return { ...face, show: (event) => event.event === "request" || face.show(event) };
}

function loudFace(
  options: AgentOptions,
  composed: Composed,
  on: { readonly interrupt: () => void; readonly readerGone: () => void },
): Face {
  if (options.json) return jsonFace(options, on.readerGone);
  return process.stdout.isTTY ? screenFace(options, composed, on.interrupt) : plainFace(options);
}

function jsonFace({ verbose }: AgentOptions, readerGone: () => void): Face {
  const out = new LineWriter(process.stdout, readerGone);
  const log = logFace({ verbose });
  return {
    ...log,
    show(event) {
      out.line(eventLine(event).trimEnd(), { droppable: event.event === "request" });
      if (event.event === "error" || verbose) log.show(event);
    },
    async close() {
      await Promise.all([out.finish(), log.close()]);
    },
  };
}

/** No terminal: one URL line on stdout, and the log on stderr. */
function plainFace({ verbose }: AgentOptions): Face {
  // Whoever has read the URL may leave.
  const out = new LineWriter(process.stdout, () => {});
  const log = logFace({ verbose });
  let printed = "";
  return {
    ...log,
    show(event) {
      if (event.event === "ready" && event.url !== printed) {
        printed = event.url;
        out.line(event.url, { droppable: false });
      }
      log.show(event);
    },
    async close() {
      await Promise.all([out.finish(), log.close()]);
    },
  };
}

function logFace({ verbose }: { readonly verbose: boolean }): Face {
  const log = new LineWriter(process.stderr, () => {});
  const say = (text: string): void => log.line(text, { droppable: false });
  return {
    show(event) {
      const line = logLine(event, { verbose });
      if (line !== undefined) log.line(line, { droppable: event.event === "request" });
    },
    warn: (text) => say(`warning: ${visible(text)}`),
    blockedHost: () =>
      say("hint: this looks like a dev server that refuses unknown hosts: try --host-header origin"),
    stopping: (open) => {
      if (open > 0) say(`stopping, finishing ${open} open exchanges`);
    },
    close: () => log.finish(),
  };
}

function screenFace(options: AgentOptions, { embedded }: Composed, interrupt: () => void): Face {
  const { stdout } = process;
  const screen = new Screen({
    terminal: {
      write: (text) => void stdout.write(text),
      get columns() {
        return stdout.columns || 80;
      },
    },
    clock: bunPlatform.clock,
    colors: !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb",
    qr: options.qr,
    version: manifest.version,
    origin: options.origin.url,
    ...(options.relay && { relay: options.relay.origin }),
    ...(embedded?.lan && { lan: true }),
  });
  const releaseKeys = readKeys((key) => {
    if (key === "\x03") interrupt();
    else screen.key(key);
  });
  return {
    show: (event) => screen.show(event),
    warn: (text) => screen.note(text),
    blockedHost: () => screen.blockedHost(),
    stopping: (open) => screen.stopping(open),
    async close() {
      screen.close();
      releaseKeys();
    },
  };
}

/** Hands over keys as they are pressed. Returns what leaves the terminal as it was. */
function readKeys(onKey: (key: string) => void): () => void {
  const { stdin } = process;
  if (!stdin.isTTY || isInBackground()) return () => {};
  const suspend = (): void => {
    stdin.setRawMode(false);
    process.once("SIGCONT", () => void stdin.setRawMode(true));
    process.kill(process.pid, "SIGTSTP");
  };
  const read = (bytes: Uint8Array): void => {
    for (const key of new TextDecoder("latin1").decode(bytes)) {
      if (key === "\x1a") suspend();
      else onKey(key);
    }
  };
  stdin.setRawMode(true);
  stdin.on("data", read);
  stdin.resume();
  return () => {
    stdin.off("data", read);
    stdin.pause();
    stdin.setRawMode(false);
  };
}

/** A job behind `&` must not touch the terminal's mode: it would be stopped (SIGTTOU). Only Linux can tell. */
function isInBackground(): boolean {
  try {
    // proc(5): after the name in parentheses come state, ppid, pgrp, session, tty_nr, tpgid.
    const [, , group, , , foreground] = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return group !== foreground;
  } catch {
    // No /proc: it is taken for a job in the foreground, as nearly all are.
    return false;
  }
}
