import { codes } from "../../shared/errors.ts";
import { reachCommand } from "../command/reach-command.ts";
import type { FleetEvent } from "../fleet/event.ts";
import { visible } from "./screen-text.ts";

/** An event as a line of the log, without newline; undefined: not worth one (`verbose` finds more of them worth it). */
export function logLine(event: FleetEvent, options: { readonly verbose: boolean }): string | undefined {
  const line = plainLine(event, options);
  if (line === undefined || event.event === "reload" || event.entry === undefined) return line;
  return `${visible(event.entry)}: ${line}`;
}

function plainLine(event: FleetEvent, { verbose }: { readonly verbose: boolean }): string | undefined {
  switch (event.event) {
    case "listening":
      return verbose ? `a relay in this process listens at ${event.url}` : undefined;
    case "ready": {
      const reach = event.connect === undefined ? "" : ` (reach it: ${reachCommand(event)})`;
      return `ready: ${event.urls.join(" ")}${reach}`;
    }
    case "link":
      if (event.state === "up" && event.transport === "sse")
        return `link ${event.link} up, without WebSocket`;
      if (event.state === "up") return verbose ? `link ${event.link} up` : undefined;
      if (event.state === "suspect") return verbose ? `link ${event.link} suspect` : undefined;
      // Where none is dialled again, the error that follows says why.
      if (event.delayMs === 0) return verbose ? `link ${event.link} lost` : undefined;
      return `link ${event.link} lost, next dial in ${event.delayMs} ms (try ${event.attempt})`;
    case "request": {
      const { method, path, status, ms, bytesIn, bytesOut, code } = event;
      const end = code === undefined ? "" : ` ${code}`;
      return `${visible(method)} ${visible(path)} ${status} ${ms}ms in=${bytesIn} out=${bytesOut}${end}`;
    }
    case "stream": {
      const { kind, target, bytesIn, bytesOut, end, code } = event;
      const to = target === undefined ? "" : ` ${visible(target)}`;
      const why = code === undefined ? "" : ` ${code}${verbose ? `: ${codes[code].meaning}` : ""}`;
      return `${kind}${to} in=${bytesIn} out=${bytesOut} ${end}${why}`;
    }
    case "error":
      return `${event.code}: ${visible(event.message)}`;
    case "reload": {
      const { added, changed, removed } = event;
      return `read again: added ${list(added)}, changed ${list(changed)}, removed ${list(removed)}`;
    }
  }
}

function list(keys: readonly string[]): string {
  return keys.length === 0 ? "none" : keys.map(visible).join(" ");
}
