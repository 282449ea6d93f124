import { createColors } from "picocolors";
import { renderUnicodeCompact } from "uqr";
import type { Clock } from "../../shared/clock.ts";
import { type Code, codes } from "../../shared/errors.ts";
import { reachCommand } from "../command/reach-command.ts";
import type { EntryEvent, FleetEvent } from "../fleet/event.ts";
import type { LinkEvent, ListeningEvent, ReadyEvent, RequestEvent, StreamEvent } from "./events.ts";
import { type LineStyle, requestLine, streamLine } from "./exchange-line.ts";
import { clip, ordinal, visible } from "./screen-text.ts";

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
  /** The relay's address for people; absent: it is embedded, or there is none. */
  readonly relay?: string;
}

/** What streams that were under way end with, now and then: who reads it has nothing to mend. */
const ordinaryCodes: readonly Code[] = ["no-error", "cancelled", "origin-closed", "going-away"];

/** What a person sees: lines that are only ever appended, and below them at most one that counts down while the link is lost. */
export class Screen {
  readonly #options: ScreenOptions;
  readonly #colors: ReturnType<typeof createColors>;
  /** The line below all others, without newline; "" where there is none. It is erased for each new line, and put back. */
  #transient = "";
  #cancelTick: () => void = () => {};
  /** By entry; of one that is alone under undefined. */
  readonly #ready = new Map<string | undefined, ReadyEvent>();
  /** Slots whose link is up; of several agents `entry/slot`. */
  readonly #up = new Set<string>();
  #embedded: ListeningEvent | undefined;
  #relayTold = false;
  #suspect = false;
  #hinted = false;
  readonly #explained = new Set<Code>();
  /** Links that go without WebSocket, as `#up` has them. */
  readonly #without = new Set<string>();
  readonly #refusedTold = new Set<string | undefined>();

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.#colors = createColors(options.colors);
    const { bold, dim } = this.#colors;
    this.#line();
    this.#line(`  ${bold("Underpass")} ${dim(options.version)}`);
  }

  show(event: FleetEvent): void {
    if (event.event === "ready") this.#showReady(event, entryOf(event));
    else if (event.event === "request") this.#showRequest(event, entryOf(event));
    else if (event.event === "stream") this.#showStream(event, entryOf(event));
    else if (event.event === "reload") this.#showReload(event);
    else if (event.event === "link") this.#showLink(event, entryOf(event));
    else if (event.event === "listening") this.#embedded = event;
    else if (event.event === "error") this.#showError(event.message, event.fatal, entryOf(event));
  }

  /** A line of the log or a warning. */
  note(text: string): void {
    const { yellow } = this.#colors;
    this.#line(`  ${yellow("!")} ${visible(text)}`);
  }

  /** The origin refuses the Host that visitors use, as dev servers do. Told once. `tunnel`: of several, the one it is about. */
  blockedHost(tunnel?: string): void {
    if (this.#hinted) return;
    this.#hinted = true;
    const { yellow, bold } = this.#colors;
    const what = tunnel === undefined ? "This" : `What is behind ${visible(tunnel)}`;
    this.#line(`  ${yellow("!")} ${what} looks like a dev server that refuses unknown hosts.`);
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

  #showReady(event: ReadyEvent, entry: string | undefined): void {
    const { bold, cyan, dim, green } = this.#colors;
    const before = this.#ready.get(entry);
    this.#ready.set(entry, event);
    if (before?.url === event.url) {
      this.#line(
        `  ${green("●")} ${dim(`${entry === undefined ? "" : `${visible(entry)} is `}back under the same address`)}`,
      );
      return;
    }
    if (entry !== undefined) {
      // One of several: a line each, and once what is the same for all.
      if (this.#embedded !== undefined && !this.#relayTold) this.#showRelay();
      const to = event.to === undefined ? "" : `  ${dim("to")} ${visible(event.to)}`;
      this.#line(`  ${green("●")} ${visible(entry).padEnd(12)} ${bold(cyan(visible(event.url)))}${to}`);
      if (event.connect !== undefined) this.#showReach(event);
      return;
    }
    this.#line();
    for (const url of event.urls.length === 0 ? [event.url] : event.urls)
      this.#line(`  ${bold(cyan(visible(url)))}`);
    this.#line();
    if (event.to !== undefined) this.#line(`  ${dim("to")}    ${visible(event.to)}`);
    if (event.kind !== "forward") this.#showRelay();
    if (event.kind === "private") this.#showReach(event);
    this.#line();
    if (this.#options.qr && before === undefined) this.#showQr();
    const keys = event.kind === "http" ? "q  QR code    " : "";
    this.#line(`  ${dim(`${keys}Ctrl-C  stop`)}`);
    this.#line();
  }

  #showRelay(): void {
    const { dim } = this.#colors;
    const { relay } = this.#options;
    this.#relayTold = true;
    if (relay !== undefined) {
      this.#line(`  ${dim("over")}  ${visible(relay)}`);
      return;
    }
    this.#line(
      `  ${dim("over")}  a relay in this process: ${this.#embedded?.lan === true ? "everybody in this network" : "this machine only"}`,
    );
    this.#line(`        ${dim("from outside: put `bun relay.ts` on a public machine, then here")}`);
    this.#line(`        ${dim("--relay https://YOUR.RELAY --token-file FILE")}`);
  }

  /** A private tunnel has no address: what reaches it is a command. */
  #showReach(event: ReadyEvent): void {
    const { bold, dim } = this.#colors;
    this.#line(`  ${dim("reach")} ${bold(visible(reachCommand(event, this.#options.relay)))}`);
    if (event.connect !== undefined) return;
    const grant = `relay token --sub SOMEBODY --connect ${visible(event.name ?? "")}`;
    this.#line(`        ${dim(`FILE has a token of \`${grant}\``)}`);
  }

  /** What is wrong comes as an error event; here is only when it is tried again. */
  #showLink(event: LinkEvent, entry: string | undefined): void {
    const { yellow, green, dim } = this.#colors;
    const { link, state, attempt, delayMs } = event;
    const key = `${entry ?? ""}/${link}`;
    this.#showTransport(key, event);
    if (state === "up") this.#up.add(key);
    else this.#up.delete(key);
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

  /** Told when the first link goes without WebSocket, and when the last of them has one again. */
  #showTransport(key: string, { state, transport }: LinkEvent): void {
    const { yellow, green, dim } = this.#colors;
    const before = this.#without.size;
    if (state === "up" && transport === "sse") this.#without.add(key);
    else if (state === "up") this.#without.delete(key);
    if (before === 0 && this.#without.size > 0)
      this.#line(`  ${yellow("●")} ${dim("no WebSocket to the relay: going on without, which is slower")}`);
    else if (before > 0 && this.#without.size === 0)
      this.#line(`  ${green("●")} ${dim("all links are WebSockets again")}`);
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

  #showError(message: string, fatal: boolean, entry: string | undefined): void {
    const { red } = this.#colors;
    const ends = fatal && entry === undefined;
    if (ends) this.#cancelTick();
    const about = entry === undefined ? "" : `${visible(entry)}: `;
    this.#line(`  ${red(fatal ? "✗" : "●")} ${about}${visible(message)}`);
    if (ends) this.close();
  }

  #showRequest(event: RequestEvent, entry: string | undefined): void {
    if (event.code === "origin-refused") this.#explainRefused(entry, "get 502");
    this.#line(requestLine(event, this.#lineStyle(entry)));
  }

  #showStream(event: StreamEvent, entry: string | undefined): void {
    const { target, code } = event;
    if (code === "origin-refused" && target === undefined) this.#explainRefused(entry, "are cut off");
    else if (code !== undefined && !ordinaryCodes.includes(code) && !this.#explained.has(code)) {
      this.#explained.add(code);
      this.note(`${code}: ${codes[code].meaning}`);
    }
    this.#line(streamLine(event, this.#lineStyle(entry)));
  }

  #lineStyle(entry: string | undefined): LineStyle {
    const { clock, terminal } = this.#options;
    return { colors: this.#colors, columns: terminal.columns, dateMs: clock.date(), entry };
  }

  #explainRefused(entry: string | undefined, whatVisitorsGet: string): void {
    const to = this.#ready.get(entry)?.to;
    if (to === undefined || this.#refusedTold.has(entry)) return;
    this.#refusedTold.add(entry);
    this.note(`Nothing listens at ${to}. Visitors ${whatVisitorsGet} until something does.`);
  }

  #showReload({ added, removed, changed }: Extract<FleetEvent, { event: "reload" }>): void {
    const { dim } = this.#colors;
    const parts = [
      ["added", added],
      ["changed", changed],
      ["removed", removed],
    ] as const;
    const told = parts.flatMap(([what, keys]) =>
      keys.length === 0 ? [] : `${what} ${keys.map(visible).join(", ")}`,
    );
    this.#line(
      `  ${dim(`the file was read again: ${told.length === 0 ? "nothing changed" : told.join("; ")}`)}`,
    );
  }

  #showQr(): void {
    const { kind, url } = this.#ready.get(undefined) ?? {};
    if (url === undefined || kind !== "http") return;
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

/** Of one agent among several. */
function entryOf(event: EntryEvent): string | undefined {
  return event.entry;
}
