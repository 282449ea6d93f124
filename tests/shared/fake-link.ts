import type { Link, LinkHandler } from "../../shared/link.ts";

/** A link whose other end is the test: what was sent is kept, and what comes is said. */
export class FakeLink implements Link {
  handler: LinkHandler = { heard() {}, message() {}, text() {}, drained() {}, closed() {} };
  queued = 0;
  readonly messages: Uint8Array[] = [];
  readonly texts: string[] = [];
  /** `close CODE REASON` or `destroy`: what this end did first. */
  ended: string | undefined;

  send(message: Uint8Array): void {
    if (this.ended === undefined) this.messages.push(message.slice());
  }
  sendText(text: string): void {
    if (this.ended === undefined) this.texts.push(text);
  }
  close(code: number, reason: string): void {
    this.ended ??= `close ${code} ${reason}`;
  }
  destroy(): void {
    this.ended ??= "destroy";
  }

  /** A binary message comes. */
  comes(bytes: Uint8Array): void {
    this.handler.heard();
    this.handler.message(bytes);
  }
  /** A text comes. */
  says(text: string): void {
    this.handler.heard();
    this.handler.text(text);
  }
  /** The link is gone, after this end's doing or by itself. */
  breaks(): void {
    this.ended ??= "broken";
    this.handler.closed(1006, "");
  }
}
