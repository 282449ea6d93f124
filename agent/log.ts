import type { AgentEvent } from "./events.ts";
import { visible } from "./screen.ts";

/** An event as a line of the log, without newline; undefined: not worth one (`verbose` finds more of them worth it). */
export function logLine(event: AgentEvent, options: { readonly verbose: boolean }): string | undefined {
  switch (event.event) {
    case "listening":
      return options.verbose ? `a relay in this process listens at ${event.url}` : undefined;
    case "ready":
      return `ready: ${event.urls.join(" ")}`;
    case "link":
      if (event.state === "up") return options.verbose ? `link ${event.link} up` : undefined;
      if (event.state === "suspect") return options.verbose ? `link ${event.link} suspect` : undefined;
      // Where none is dialled again, the error that follows says why.
      if (event.delayMs === 0) return options.verbose ? `link ${event.link} lost` : undefined;
      return `link ${event.link} lost, next dial in ${event.delayMs} ms (try ${event.attempt})`;
    case "request": {
      const { method, path, status, ms, bytesIn, bytesOut, code } = event;
      const end = code === undefined ? "" : ` ${code}`;
      return `${visible(method)} ${visible(path)} ${status} ${ms}ms in=${bytesIn} out=${bytesOut}${end}`;
    }
    case "stream":
      return `${event.kind} in=${event.bytesIn} out=${event.bytesOut} ${event.end}`;
    case "error":
      return `${event.code}: ${visible(event.message)}`;
  }
}
