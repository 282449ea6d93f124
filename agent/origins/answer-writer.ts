import { encodeHead } from "../../shared/head.ts";
import { writeResponseHead } from "../../shared/http1/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Stream } from "../../shared/mux/stream.ts";

/** A Response as the frames of a stream: each chunk goes at once, and the next is read when the stream has room. */
export class AnswerWriter {
  /** What has been sent; 0 before. */
  status = 0;
  sentBytes = 0;
  readonly #stream: Stream;
  readonly #method: string;
  #reader: ReadableStreamDefaultReader<unknown> | undefined;
  #roomWaiter: (() => void) | undefined;
  #cancelled = false;

  constructor(stream: Stream, method: string) {
    this.#stream = stream;
    this.#method = method;
  }

  /** A 1xx head. Ignored once the answer has begun. */
  interim(status: number, reason: string): void {
    if (this.status === 0 && !this.#cancelled) this.#head(status, reason, []);
  }

  /** Sends head and body, not the end. Resolves with what went wrong with the answer, or undefined; never rejects. */
  async send(response: Response, date: Date): Promise<unknown> {
    const bodiless = this.#method === "HEAD" || response.status === 204 || response.status === 304;
    const fields = responseFields(response, date);
    const announced = Number(response.headers.get("content-length") ?? Number.NaN);
    if (response.headers.has("content-length") && !Number.isSafeInteger(announced)) {
      return new TypeError("The Response has a Content-Length that is no number.");
    }
    const hasBody = !bodiless && response.body !== null;
    if (hasBody && Number.isNaN(announced)) fields.push("transfer-encoding", "chunked");
    if (!hasBody && !bodiless && Number.isNaN(announced)) fields.push("content-length", "0");
    if (!this.#head(response.status, response.statusText, fields)) {
      await response.body?.cancel().catch(() => {});
      return new RangeError("The Response's head is larger than a tunnel carries (32 KiB).");
    }
    this.status = response.status;
    if (!hasBody || response.body === null) {
      await response.body?.cancel().catch(() => {});
      return !bodiless && announced > 0
        ? new TypeError("The Response announces a body and has none.")
        : undefined;
    }
    try {
      const reader = response.body.getReader();
      this.#reader = reader;
      return await this.#pump(reader, announced);
    } catch (error) {
      return error ?? new Error("The Response's body failed.");
    }
  }

  /** The stream has room again. */
  writable(): void {
    const resume = this.#roomWaiter;
    this.#roomWaiter = undefined;
    resume?.();
  }

  /** The visitor is gone: whoever makes the body hears of it. */
  cancel(): void {
    this.#cancelled = true;
    // The source may be broken itself, and nobody is left to tell.
    this.#reader?.cancel().catch(() => {});
    this.writable();
  }

  async #pump(reader: ReadableStreamDefaultReader<unknown>, announced: number): Promise<unknown> {
    while (!this.#cancelled) {
      const { done, value } = await reader.read();
      if (this.#cancelled) return undefined;
      if (done) {
        const short = !Number.isNaN(announced) && this.sentBytes !== announced;
        return short
          ? new TypeError(`The Response's body has ${this.sentBytes} of ${announced} bytes.`)
          : undefined;
      }
      const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
      if (!(bytes instanceof Uint8Array))
        return this.#giveUp(reader, "The Response's body has a chunk that is not bytes.");
      if (this.sentBytes + bytes.length > announced) {
        return this.#giveUp(reader, `The Response's body is longer than the announced ${announced} bytes.`);
      }
      this.sentBytes += bytes.length;
      if (!this.#stream.write(bytes)) {
        await new Promise<void>((resolve) => {
          this.#roomWaiter = resolve;
        });
      }
    }
    return undefined;
  }

  #giveUp(reader: ReadableStreamDefaultReader<unknown>, message: string): TypeError {
    reader.cancel().catch(() => {});
    return new TypeError(message);
  }

  /** false: it is too large, and was not sent. */
  #head(status: number, reason: string, fields: string[]): boolean {
    const http = encodeLatin1(writeResponseHead({ status, reason, minor: 1, fields }));
    if (http.length > limits.maxHttpHeadBytes) return false;
    this.#stream.head(encodeHead({ http }));
    return true;
  }
}

const ofThisHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** name, value, ...; several Set-Cookie stay several. */
function responseFields(response: Response, date: Date): string[] {
  const fields: string[] = [];
  for (const [name, value] of response.headers) if (!ofThisHop.has(name)) fields.push(name, value);
  if (!response.headers.has("date")) fields.push("date", date.toUTCString());
  return fields;
}
