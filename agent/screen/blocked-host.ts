/** How the dev servers begin their refusal of a Host they don't know: Vite, webpack-dev-server, Rails. */
const refusals = ["Blocked request. This host", "Invalid Host header", "Blocked hosts"];
/** The words stand at the beginning, at most behind a few tags. */
const lookBytes = 2_048;

/** Whether an answer with status 403 looks like a dev server's that checks Host. `body`: its first bytes. */
export function looksLikeBlockedHost(body: Uint8Array): boolean {
  const text = new TextDecoder().decode(body.subarray(0, lookBytes));
  return refusals.some((words) => text.includes(words));
}
