import { readFileSync } from "node:fs";

/** Hands over keys as they are pressed. Returns what leaves the terminal as it was. */
export function readKeys(onKey: (key: string) => void): () => void {
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
