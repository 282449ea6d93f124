import type { Colors } from "picocolors/types";
import type { RequestEvent, StreamEvent } from "./events.ts";
import { clip, duration, size, visible } from "./screen-text.ts";

/** What a line looks like, beside what is in it. */
export interface LineStyle {
  readonly colors: Colors;
  /** Of the window. */
  readonly columns: number;
  readonly dateMs: number;
  /** Of one tunnel among several. */
  readonly entry: string | undefined;
}

/** What a line about an exchange is made of; lengths in columns, since colours take none. */
interface LineParts {
  readonly begin: string;
  readonly beginColumns: number;
  /** Cut where it has no room. */
  readonly middle: string;
  readonly why: string;
  readonly whyColumns: number;
  readonly tail: string;
}

/** No window is wider; what is behind it is not worth escaping. */
const maxMiddleColumns = 1_000;

/** A request that has ended, as a line of the window's width. */
export function requestLine(event: RequestEvent, style: LineStyle): string {
  const { bold, red } = style.colors;
  const method = visible(event.method).padEnd(7);
  const why = event.code === undefined || event.code === "no-error" ? "" : ` ${event.code}`;
  const status = event.status === 0 ? "---" : String(event.status);
  return exchangeLine(style, {
    begin: `${paint(event.status, style.colors)(status)}  ${bold(method)} `,
    beginColumns: 3 + 2 + method.length + 1,
    middle: visible(event.path.slice(0, maxMiddleColumns)),
    why: red(why),
    whyColumns: why.length,
    tail: `${duration(event.ms).padStart(8)} ${size(event.bytesOut).padStart(9)}`,
  });
}

/** A stream of bytes or datagrams that has ended, as a line of the window's width. */
export function streamLine(event: StreamEvent, style: LineStyle): string {
  const { bold, green, red } = style.colors;
  const { kind, target = "", bytesIn, bytesOut, end, code } = event;
  const why = code === undefined ? "" : ` ${code}`;
  const begin = kind.padEnd(7);
  return exchangeLine(style, {
    begin: `${end === "closed" ? green("end") : red("cut")}  ${bold(begin)} `,
    beginColumns: 3 + 2 + begin.length + 1,
    middle: visible(target.slice(0, maxMiddleColumns)),
    why: red(why),
    whyColumns: why.length,
    tail: `in ${size(bytesIn).padStart(7)}  out ${size(bytesOut).padStart(7)}`,
  });
}

function exchangeLine({ colors, columns, dateMs, entry }: LineStyle, parts: LineParts): string {
  const { dim } = colors;
  const { begin, beginColumns, middle, why, whyColumns, tail } = parts;
  const time = new Date(dateMs).toTimeString().slice(0, 8);
  const before = entry === undefined ? "" : `${visible(entry)} `;
  const room = columns - 1 - (2 + 8 + 2 + beginColumns + 1 + tail.length);
  // Below 12 columns a path says nothing: then the line is longer than the window, and wraps.
  const width = Math.max(room, 12 + whyColumns + before.length) - before.length;
  const shown = clip(middle, width - whyColumns);
  const gap = " ".repeat(width - shown.length - whyColumns);
  return `  ${dim(time)}  ${begin}${dim(before)}${shown}${why}${gap} ${dim(tail)}`;
}

function paint(status: number, colors: Colors): (text: string) => string {
  const { green, cyan, yellow, red, magenta } = colors;
  if (status === 0 || status >= 500) return red;
  if (status >= 400) return yellow;
  if (status >= 300) return cyan;
  return status >= 200 ? green : magenta;
}
