import http from "node:http";
import https from "node:https";
import { UnderpassError } from "../../shared/errors.ts";
import type { HealthOptions } from "../options.ts";

/** A relay that is well answers from memory. What asks (a container's engine) has limits of its own, above this one. */
const answerWithinMs = 3_000;

/** Resolves where the relay answers `/healthz` with 200; rejects with `unhealthy` and what it did instead. Bun and Deno. */
export async function askHealth({ scheme, host, port }: HealthOptions): Promise<void> {
  const { request } = scheme === "https" ? https : http;
  const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}/healthz`;
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const call = request(
      url,
      // The certificate is for the relay's name, which is not what this machine calls itself. Without the list of nobody,
      // Deno would read the system's authorities, for which it wants a permission of its own.
      { rejectUnauthorized: false, ca: [], agent: false, timeout: answerWithinMs },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      },
    );
    call.on("timeout", () => call.destroy(new Error(`no answer within ${answerWithinMs} ms`)));
    call.on("error", (cause) =>
      reject(new UnderpassError("unhealthy", `${url}: ${cause.message}.`, { cause })),
    );
    call.end();
  });
  if (status !== 200) throw new UnderpassError("unhealthy", `${url} answered ${status}.`);
}
