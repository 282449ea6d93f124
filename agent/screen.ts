import { createColors } from "picocolors";
import { renderUnicodeCompact } from "uqr";
import type { Clock } from "../shared/clock.ts";
import type { AgentEvent, ReadyEvent, RequestEvent } from "./events.ts";

/** The terminal, as far as the screen needs it. */
export interface Terminal {
  write(text: string): void;
  /** Width now; it changes when the window does. */
  readonly columns: number;
}

export interface ScreenOptions {
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** False where NO_COLOR is set. */
  readonly colors: boolean;
  /** The QR code at the start, without a key. */
  readonly qr: boolean;
  readonly version: string;
  /** What is exposed, for people. */
  readonly origin: string;
  /** The relay's address for people; absent: it is embedded. */
  readonly relay?: string;
  /** The embedded relay can be reached from other machines. */
  readonly lan?: boolean;
}

/** No window is wider; what is behind it is not worth escaping. */
const maxPathColumns = 1_000;

/** What a person sees: lines that are only ever appended, and below them at most one that counts down while the link is lost. */
export class Screen {
  readonly #options: ScreenOptions;
  readonly #colors: ReturnType<typeof createColors>;
  /** The line below all others, without newline; "" where there is none. It is erased for each new line, and put back. */
  #transient = "";
  #cancelTick: () => void = () => {};
  #ready: ReadyEvent | undefined;
  /** Slots whose link is up. */
  readonly #up = new Set<number>();
  #suspect = false;
  #hinted = false;
  #refusedTold = false;

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.#colors = createColors(options.colors);
    const { bold, dim } = this.#colors;
    this.#line();
    this.#line(`  ${bold("Underpass")} ${dim(options.version)}`);
  }

  show(event: AgentEvent): void {
    if (event.event === "ready") this.#showReady(event);
    else if (event.event === "request") this.#showRequest(event);
    else if (event.event === "link") this.#showLink(event.link, event.state, event.attempt, event.delayMs);
    else if (event.event === "error") this.#showError(event.message, event.fatal);
  }

  /** A line of the log or a warning. */
  note(text: string): void {
    const { yellow } = this.#colors;
    this.#line(`  ${yellow("!")} ${visible(text)}`);
  }

  /** The origin refuses the Host that visitors use, as dev servers do. Told once. */
  blockedHost(): void {
    if (this.#hinted) return;
    this.#hinted = true;
    const { yellow, bold } = this.#colors;
    this.#line(`  ${yellow("!")} This looks like a dev server that refuses unknown hosts.`);
    this.#line(`    Start again with ${bold("--host-header origin")} and it sees its own address.`);
  }

  /** A key that the person pressed. */
  key(key: string): void {
    if (key === "q" || key === "Q") this.#showQr();
    else if (key === "\r" || key === "\n") this.#line();
  }

  /** The agent is stopping; `open` exchanges are being finished. */
  stopping(open: number): void {
    const { dim } = this.#colors;
    const rest =
      open === 0
        ? ""
        : `, finishing ${open} open ${open === 1 ? "exchange" : "exchanges"} (Ctrl-C again: at once)`;
    this.#line(`  ${dim(`stopping${rest}`)}`);
  }

  /** Leaves the terminal as it was found. */
  close(): void {
    this.#cancelTick();
    this.#clearTransient();
  }

  #showReady(event: ReadyEvent): void {
    const { bold, cyan, dim, green } = this.#colors;
    const again = this.#ready !== undefined;
    const moved = this.#ready?.url !== event.url;
    this.#ready = event;
    if (again && !moved) {
      this.#line(`  ${green("●")} ${dim("back under the same address")}`);
      return;
    }
    const { relay, lan, origin } = this.#options;
    this.#line();
    for (const url of event.urls.length === 0 ? [event.url] : event.urls)
      this.#line(`  ${bold(cyan(visible(url)))}`);
    this.#line();
    this.#line(`  ${dim("to")}    ${visible(origin)}`);
    if (relay !== undefined) {
      this.#line(`  ${dim("over")}  ${visible(relay)}`);
    } else {
      this.#line(
        `  ${dim("over")}  a relay in this process: ${lan === true ? "everybody in this network" : "this machine only"}`,
      );
      this.#line(`        ${dim("from outside: put `bun relay.ts` on a public machine, then here")}`);
      this.#line(`        ${dim("--relay https://YOUR.RELAY --token-file FILE")}`);
    }
    this.#line();
    if (this.#options.qr && !again) this.#showQr();
    this.#line(`  ${dim("q  QR code    Ctrl-C  stop")}`);
    this.#line();
  }

  /** What is wrong comes as an error event; here is only when it is tried again. */
  #showLink(link: number, state: "up" | "suspect" | "lost", attempt: number, delayMs: number): void {
    const { yellow, green, dim } = this.#colors;
    if (state === "up") this.#up.add(link);
    else this.#up.delete(link);
    if (state === "lost") {
      if (this.#up.size === 0 && delayMs > 0) this.#countdown(attempt, this.#options.clock.now() + delayMs);
      return;
    }
    this.#cancelTick();
    this.#clearTransient();
    // As long as one link is well, nobody has to know.
    if (state === "suspect" && !this.#suspect && this.#up.size === 0) {
      this.#suspect = true;
      this.#line(`  ${yellow("●")} ${dim("the relay has been quiet for a while")}`);
    } else if (state === "up" && this.#suspect) {
      this.#suspect = false;
      this.#line(`  ${green("●")} ${dim("the relay is back")}`);
    }
  }

  #countdown(attempt: number, atMs: number): void {
    this.#cancelTick();
    const { clock, terminal } = this.#options;
    const leftMs = atMs - clock.now();
    const { dim } = this.#colors;
    this.#clearTransient();
    const text = leftMs > 50 ? `next dial in ${Math.ceil(leftMs / 1000)} s` : "dialling";
    const line = `    ${text}${attempt > 1 ? ` (${ordinal(attempt)} try)` : ""}`;
    terminal.write(dim(clip(line, terminal.columns - 1)));
    this.#transient = line;
    if (leftMs > 50)
      this.#cancelTick = clock.at(Math.min(atMs, clock.now() + 1000), () => this.#countdown(attempt, atMs));
  }

  #showError(message: string, fatal: boolean): void {
    const { red } = this.#colors;
    if (fatal) this.#cancelTick();
    this.#line(`  ${red(fatal ? "✗" : "●")} ${visible(message)}`);
    if (fatal) this.close();
  }

  #showRequest(event: RequestEvent): void {
    const { bold, dim, red } = this.#colors;
    const time = new Date(this.#options.clock.date()).toTimeString().slice(0, 8);
    const tail = `${duration(event.ms).padStart(8)} ${size(event.bytesOut).padStart(9)}`;
    const method = visible(event.method).padEnd(7);
    const room =
      this.#options.terminal.columns - 1 - (2 + 8 + 2 + 3 + 2 + method.length + 1 + 1 + tail.length);
    const path = visible(event.path.slice(0, maxPathColumns));
    // Below 12 columns a path says nothing: then the line is longer than the window, and wraps.
    const why = event.code === undefined || event.code === "no-error" ? "" : ` ${event.code}`;
    const width = Math.max(room, 12 + why.length);
    const shown = clip(path, width - why.length);
    const status = event.status === 0 ? "---" : String(event.status);
    if (event.code === "origin-refused" && !this.#refusedTold) {
      this.#refusedTold = true;
      this.note(`Nothing listens at ${this.#options.origin}. Visitors get 502 until something does.`);
    }
    this.#line(
      `  ${dim(time)}  ${this.#paint(event.status)(status)}  ${bold(method)} ${shown}${red(why)}${" ".repeat(width - shown.length - why.length)} ${dim(tail)}`,
    );
  }

  #paint(status: number): (text: string) => string {
    const { green, cyan, yellow, red, magenta } = this.#colors;
    if (status === 0 || status >= 500) return red;
    if (status >= 400) return yellow;
    if (status >= 300) return cyan;
    return status >= 200 ? green : magenta;
  }

  #showQr(): void {
    const url = this.#ready?.url;
    if (url === undefined) return;
    const rows = renderUnicodeCompact(url, { border: 2 }).split("\n");
    if (rows.some((row) => row.length + 2 > this.#options.terminal.columns)) {
      this.note("The window is too narrow for the QR code.");
      return;
    }
    // Painted, since a code in the colours of a light terminal would be its negative.
    const { bgBlack, whiteBright } = this.#colors;
    for (const row of rows) this.#line(`  ${bgBlack(whiteBright(row))}`);
    this.#line(`  ${visible(url)}`);
  }

  #line(text = ""): void {
    const { terminal } = this.#options;
    const below = this.#transient;
    this.#clearTransient();
    terminal.write(`${text}\n`);
    if (below === "") return;
    terminal.write(this.#colors.dim(clip(below, terminal.columns - 1)));
    this.#transient = below;
  }

  #clearTransient(): void {
    if (this.#transient === "") return;
    this.#transient = "";
    this.#options.terminal.write("\r\x1b[K");
  }
}

/** What is shown of text from outside: printable ASCII as it is, all else escaped, so that no visitor speaks to the terminal. */
export function visible(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, (character) => {
    const point = character.codePointAt(0) ?? 0;
    return point < 0x100 ? `\\x${point.toString(16).padStart(2, "0")}` : `\\u{${point.toString(16)}}`;
  });
}

/** The beginning that fits in `room` columns, with a mark where something was cut. */
function clip(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, Math.max(room - 1, 0))}…`;
}

function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60}`;
}

function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const units = ["KB", "MB", "GB", "TB"];
  let value = bytes / 1_000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ""}`;
}

function ordinal(n: number): string {
  const tens = n % 100;
  const suffix = tens >= 11 && tens <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${suffix}`;
}
