import { join } from "node:path";
import { installed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";

export interface PythonOrigin {
  readonly port: number;
  stop(): Promise<void>;
}

/** `python3 -m http.server` for this folder. */
export function startHttpServer(folder: string): Promise<PythonOrigin> {
  return start(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]);
}

/** A WSGI server with one thread and HTTP/1.1: an idle connection keeps everybody else waiting. */
export function startSingleThreaded(): Promise<PythonOrigin> {
  return start(["-u", join(import.meta.dir, "single-threaded.py")]);
}

async function start(args: readonly string[]): Promise<PythonOrigin> {
  const python = installed("python3");
  if (python === undefined) throw new Error("python3 is not installed");
  const program = new Program([python, ...args]);
  const told = /port (\d+)/;
  await program.output((stdout) => told.test(stdout));
  return { port: Number(told.exec(program.stdout)?.[1]), stop: () => program.kill() };
}
