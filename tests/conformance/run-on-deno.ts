import process from "node:process";

export interface DenoCase {
  readonly name: string;
  run(): Promise<void>;
}

/** Runs them one after the other, `limitMs` for each; prints {name: "" or what went wrong} as one line of JSON, and ends the process. */
export async function runOnDeno(cases: readonly DenoCase[], limitMs: number): Promise<never> {
  const results: Record<string, string> = {};
  for (const { name, run } of cases) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no end within ${limitMs / 1_000} s`)), limitMs);
    });
    try {
      await Promise.race([run(), late]);
      results[name] = "";
    } catch (error) {
      results[name] = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
    }
    clearTimeout(timer);
  }
  console.log(JSON.stringify(results));
  // Sockets of a failed case would keep the process alive.
  process.exit(0);
}
