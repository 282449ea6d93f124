import process from "node:process";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { RelayEvent, RelayLog } from "../log.ts";

/** Lines are gathered so long, or up to so many characters: a write for each request would cost more than the request. */
const gatherMs = 100;
const gatherChars = 16_384;

/** Log lines on stderr; with `json`, `listening` and what follows as JSON on stdout, and notes on stderr. */
export class StreamLog implements RelayLog {
  private text = "";
  private waiting = false;
  private shownMs = 0;
  private shown = "";

  constructor(private readonly options: { readonly json: boolean; readonly quiet: boolean }) {
    process.on("exit", () => this.flush());
  }

  write(event: RelayEvent): void {
    if (event.event === "listening") {
      if (this.options.json) process.stdout.write(`${JSON.stringify(event)}\n`);
      return;
    }
    if (this.options.quiet && (event.event === "request" || event.event === "stream")) return;
    this.text += `${this.time()} ${line(event)}\n`;
    if (this.text.length > gatherChars) this.flush();
    else if (!this.waiting) {
      this.waiting = true;
      systemClock.at(systemClock.now() + gatherMs, () => this.flush());
    }
  }

  /** A line for the person who started it. */
  note(text: string): void {
    this.flush();
    process.stderr.write(`${text}\n`);
  }

  /** Made once a millisecond: thousands of requests share one. */
  private time(): string {
    const dateMs = Math.trunc(systemClock.date());
    if (dateMs !== this.shownMs) {
      this.shownMs = dateMs;
      this.shown = new Date(dateMs).toISOString();
    }
    return this.shown;
  }

  flush(): void {
    this.waiting = false;
    if (this.text === "") return;
    const { text } = this;
    this.text = "";
    process.stderr.write(text);
  }
}

function line(event: RelayEvent): string {
  switch (event.event) {
    case "request":
      return `request ${event.name} ${event.method} ${quoted(event.path)} ${event.status} ${event.ms.toFixed(1)}ms in=${event.bytesIn} out=${event.bytesOut}`;
    case "agent":
      return `agent ${event.name} ${event.state}${event.kind === "http" ? "" : ` ${event.kind}`}${event.subject === undefined ? "" : ` sub=${quoted(event.subject)}`}${event.code === undefined ? "" : ` code=${event.code}`}`;
    case "stream":
      return `stream ${event.name} ${event.kind}${event.subject === undefined ? "" : ` sub=${quoted(event.subject)}`}${event.target === undefined ? "" : ` to=${quoted(event.target)}`} ${event.ms.toFixed(1)}ms in=${event.bytesIn} out=${event.bytesOut}${event.code === undefined ? "" : ` code=${event.code}`}`;
    case "fault":
    case "recovered":
      return `${event.event} ${quoted(event.message)}`;
    case "listening":
      return `listening ${event.url}`;
  }
}

/** JSON leaves the C1 controls as they are, and some terminals obey them. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  );
}
