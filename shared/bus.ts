/**
 * Where processes hear of each other by subjects: at most once, in order from one sender, messages of up to 64 KiB and
 * some hundred bytes. Nobody keeps anything. Nothing here throws for what happens to the network.
 */
export interface Bus {
  /** Ignored while the bus is out of reach. The bytes are the caller's again. */
  publish(subject: string, message: Uint8Array): void;
  /** Subjects are words of `[A-Za-z0-9_-]` with dots between. Returns what ends it. */
  subscribe(subject: string, heard: (message: BusMessage) => void): () => void;
  /** One answer. Rejects where nobody hears the subject, or none comes in time. */
  request(subject: string, message: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Resolves when all that was published has left for the bus; rejects where that broke. */
  flushed(): Promise<void>;
  /** Told when the bus is out of reach (false), and within it again: what was published meanwhile is lost. Returns what ends it. */
  watch(reachable: (is: boolean) => void): () => void;
}

export interface BusMessage {
  /** Its receiver's to keep. */
  readonly bytes: Uint8Array;
  /** Where `request` waits for one. */
  answer(message: Uint8Array): void;
}
