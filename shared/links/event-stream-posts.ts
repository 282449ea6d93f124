import type { Clock } from "../clock.ts";
import { encodeLatin1 } from "../http1/latin1.ts";
import type { Dial, DialTarget } from "../socket.ts";
import { eventStreamLimits } from "./event-stream-limits.ts";
import { PostSocket } from "./event-stream-post-socket.ts";
import { encodeParts, type Part, partHeaderBytes } from "./parts.ts";

/** How large a POST may be on the way to this relay: learnt by one link, kept for the next. */
export interface PostCap {
  bytes: number;
}

export interface PostSenderOptions {
  readonly clock: Clock;
  readonly dial: Dial;
  readonly target: DialTarget;
  /** Request line and fields, each with CRLF, but for the number and the length. */
  readonly head: string;
  readonly cap: PostCap;
}

export interface PostSenderHandler {
  /** Some of what was queued has left. */
  drained(): void;
  /** A POST can't be brought to the relay, or is not wanted there: the link is over. */
  failed(): void;
}

const limits = {
  /** Of a body at first: small ones answer soon, and show what the way carries. */
  firstBodyBytes: 65_536,
  /** Where the way is slow, or a proxy allows no more. */
  minBodyBytes: 16_384,
  /** A POST that is answered within this may be twice as large; one that took longer than that, half. */
  quickMs: 250,
  slowMs: 1_000,
  /** A socket on which nothing moves for so long while its POST is not answered. */
  stallMs: 30_000,
  /** The first try of a POST is so long ago: the way up is lost. */
  giveUpMs: 60_000,
  /** What is between forgets a socket that is idle for long; the one that carries the pings is not. */
  idleMs: 30_000,
  /** No other socket is tried after one could not be had, as long as there is one at all. */
  dialPauseMs: 1_000,
  maxTries: 8,
  /** Before another try, doubled with each. Where an idle socket was closed on us there is no need to wait. */
  againMs: 100,
  maxAgainMs: 3_000,
} as const;

/** A POST on its way. */
interface Post {
  readonly number: number;
  readonly request: Uint8Array;
  readonly firstMs: number;
  triedMs: number;
  tries: number;
  /** Waits before the next try. */
  cancelWait: (() => void) | undefined;
  place: Place | undefined;
}

/** A socket for POSTs, and what it is at. */
interface Place {
  readonly socket: PostSocket;
  post: Post | undefined;
  /** It has answered before: that it is closed between POSTs is no news. */
  served: boolean;
  idleSinceMs: number;
  cancelStall: () => void;
}

/** The way up of a link without WebSocket: messages go in numbered POSTs, each again until it was answered. */
export class PostSender {
  readonly #options: PostSenderOptions;
  readonly #handler: PostSenderHandler;
  #waiting: Part[] = [];
  #waitingBytes = 0;
  #sent = 0;
  readonly #posts = new Map<number, Post>();
  /** The last one that was used at the end: the others may be left to die. */
  #places: Place[] = [];
  #bodyBytes: number;
  #scheduled = false;
  #dialAfterMs = 0;
  #cancelDialPause: (() => void) | undefined;
  #stopped = false;

  constructor(options: PostSenderOptions, handler: PostSenderHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#bodyBytes = Math.min(limits.firstBodyBytes, options.cap.bytes);
  }

  /** Bytes that have not left for the network. */
  get queued(): number {
    let queued = this.#waitingBytes;
    for (const { place, request } of this.#posts.values()) queued += place?.socket.queued ?? request.length;
    return queued;
  }

  /** Takes a part, whose bytes must not change after. What comes in one turn of the loop goes together. */
  send(part: Part): void {
    if (this.#stopped) return;
    this.#waiting.push(part);
    this.#waitingBytes += part.bytes.length + partHeaderBytes;
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#pump()) this.#handler.drained();
    });
  }

  /** Drops everything, without a word to the handler. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#cancelDialPause?.();
    for (const post of this.#posts.values()) post.cancelWait?.();
    this.#posts.clear();
    for (const place of this.#places) this.#close(place);
    this.#places = [];
  }

  /** Fills the places for POSTs that are free. Returns whether something went. */
  #pump(): boolean {
    let went = false;
    while (!this.#stopped && this.#posts.size < eventStreamLimits.maxPosts && this.#waiting.length > 0) {
      const nowMs = this.#options.clock.now();
      const number = ++this.#sent;
      const request = this.#nextRequest(number);
      const post: Post = {
        ...{ number, request, firstMs: nowMs, triedMs: nowMs, tries: 0 },
        ...{ cancelWait: undefined, place: undefined },
      };
      this.#posts.set(number, post);
      this.#try(post);
      went = true;
    }
    return went;
  }

  /** As much of what waits as may go in one POST, but one message at least. */
  #nextRequest(number: number): Uint8Array {
    const most = Math.min(this.#bodyBytes, this.#options.cap.bytes);
    let count = 0;
    let size = 0;
    for (const { bytes } of this.#waiting) {
      if (count > 0 && size + bytes.length + partHeaderBytes > most) break;
      size += bytes.length + partHeaderBytes;
      count++;
    }
    this.#waitingBytes -= size;
    const fields = `Underpass-Sequence: ${number}\r\nContent-Length: ${size}\r\n\r\n`;
    return encodeParts(encodeLatin1(this.#options.head + fields), this.#waiting.splice(0, count));
  }

  /** Gives a POST to a socket: an idle one, else a new one, else the first that is free again. */
  #try(post: Post): void {
    const nowMs = this.#options.clock.now();
    for (const place of this.#places)
      if (place.post === undefined && nowMs - place.idleSinceMs > limits.idleMs) this.#forget(place);
    const idle = this.#places.findLast((place) => place.post === undefined);
    if (idle === undefined && (this.#places.length >= eventStreamLimits.maxPosts || this.#dialsLater(nowMs)))
      return;
    const chosen = idle ?? this.#open();
    this.#places = [...this.#places.filter((place) => place !== chosen), chosen];
    chosen.post = post;
    post.place = chosen;
    post.tries++;
    post.triedMs = nowMs;
    this.#watch(chosen);
    chosen.socket.send(post.request);
  }

  get #hasServed(): boolean {
    return this.#places.some(({ served }) => served);
  }

  /** What was tried on a new socket waits for one that is there, and counts as not tried. */
  #dialPauses(post: Post): void {
    this.#dialAfterMs = this.#options.clock.now() + limits.dialPauseMs;
    post.tries--;
  }

  /** The end of the pause is waited for: the sockets that are there may all carry POSTs that wait for this one. */
  #dialsLater(nowMs: number): boolean {
    if (nowMs >= this.#dialAfterMs || !this.#hasServed) return false;
    this.#cancelDialPause ??= this.#options.clock.at(this.#dialAfterMs, () => {
      this.#cancelDialPause = undefined;
      this.#next();
    });
    return true;
  }

  #open(): Place {
    const { dial, target } = this.#options;
    const place: Place = {
      socket: new PostSocket(dial, target, {
        opened: () => this.#handler.drained(),
        drained: () => {
          this.#watch(place);
          this.#handler.drained();
        },
        answered: (status, how) => this.#answered(place, status, how),
        failed: () => {
          // A relay that drains takes no new sockets, and goes on with those that it has.
          if (this.#hasServed && place.post !== undefined) this.#dialPauses(place.post);
          this.#broken(place);
        },
        broken: () => this.#broken(place),
      }),
      ...{ post: undefined, served: false, idleSinceMs: 0, cancelStall: () => {} },
    };
    return place;
  }

  #watch(place: Place): void {
    const { clock } = this.#options;
    place.cancelStall();
    if (place.post === undefined) return;
    place.cancelStall = clock.at(clock.now() + limits.stallMs, () => this.#broken(place));
  }

  #answered(by: Place, status: number, { staysOpen }: { readonly staysOpen: boolean }): void {
    const { post } = by;
    if (post === undefined || this.#stopped) return;
    by.post = undefined;
    post.place = undefined;
    by.cancelStall();
    // Another relay, which takes over from this link's: that one takes no new sockets, and goes on with those it has.
    const isElsewhere = status === 404 && !by.served && this.#hasServed;
    const keeps = staysOpen && !isElsewhere;
    by.served = true;
    by.idleSinceMs = this.#options.clock.now();
    if (!keeps) this.#forget(by);
    if (status === 204) {
      this.#posts.delete(post.number);
      this.#learn(post);
      this.#next();
      return;
    }
    if (isElsewhere) {
      this.#dialPauses(post);
      this.#next();
      return;
    }
    // What stands before the relay may be in trouble for a moment. Whatever else is said counts for every try.
    if (status >= 500 || status === 429 || status === 408) {
      this.#again(post, { waits: true });
      this.#next();
      return;
    }
    const { cap } = this.#options;
    if (status === 413) cap.bytes = Math.max(limits.minBodyBytes, post.request.length >> 1);
    this.#fail();
  }

  /** A socket is gone, or of no use any more. */
  #broken(place: Place): void {
    if (this.#stopped || !this.#places.includes(place)) return;
    this.#forget(place);
    const { post } = place;
    place.post = undefined;
    if (post !== undefined) this.#again(post, { waits: !place.served });
    this.#next();
  }

  #forget(place: Place): void {
    this.#places = this.#places.filter((other) => other !== place);
    this.#close(place);
  }

  #close({ socket, cancelStall }: Place): void {
    cancelStall();
    socket.close();
  }

  #again(post: Post, { waits }: { readonly waits: boolean }): void {
    const { clock } = this.#options;
    post.place = undefined;
    if (post.tries >= limits.maxTries || clock.now() - post.firstMs >= limits.giveUpMs) {
      this.#fail();
      return;
    }
    if (!waits) return;
    const waitMs = Math.min(limits.maxAgainMs, limits.againMs * 2 ** post.tries);
    post.cancelWait = clock.at(clock.now() + waitMs, () => {
      post.cancelWait = undefined;
      if (!this.#stopped) this.#try(post);
    });
  }

  /** A socket or a place is free: what waits for one goes, the lowest number first. */
  #next(): void {
    for (const post of this.#posts.values()) {
      if (this.#stopped) return;
      if (post.place === undefined && post.cancelWait === undefined) this.#try(post);
    }
    this.#pump();
    if (!this.#stopped) this.#handler.drained();
  }

  /** The last answer tells how much a POST had better carry. */
  #learn(post: Post): void {
    const tookMs = this.#options.clock.now() - post.triedMs;
    if (tookMs > limits.slowMs) this.#bodyBytes = Math.max(limits.minBodyBytes, this.#bodyBytes >> 1);
    else if (tookMs < limits.quickMs && post.request.length * 2 > this.#bodyBytes)
      this.#bodyBytes = Math.min(eventStreamLimits.maxPostBytes, this.#bodyBytes * 2);
  }

  #fail(): void {
    if (this.#stopped) return;
    this.stop();
    this.#handler.failed();
  }
}
