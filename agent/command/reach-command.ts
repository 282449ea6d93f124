import type { ReadyEvent } from "../screen/events.ts";

/** The command by which a private tunnel is reached, for people to copy. `relay`: where the tunnel is, if not embedded. */
export function reachCommand({ name = "NAME", connect }: ReadyEvent, relay = "https://YOUR.RELAY"): string {
  const at = connect ?? { relay, tokenFile: "FILE" };
  return `underpass connect ${name} --listen 127.0.0.1:2222 --relay ${at.relay} --token-file ${at.tokenFile}`;
}
