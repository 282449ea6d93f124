import type { Bus, BusMessage } from "../../shared/bus.ts";
import type { Clock } from "../../shared/clock.ts";

interface Ear {
  readonly subject: string;
  readonly heard: (message: BusMessage) => void;
}

/** A network of buses in this process, which can lose messages; each end can be cut off from it. */
export class MemoryNetwork {
  readonly ends = new Set<MemoryBus>();
  /** Asked of each message: is it lost? */
  loses: (subject: string) => boolean = () => false;

  constructor(readonly clock: Clock) {}

  end(): MemoryBus {
    const end = new MemoryBus(this);
    this.ends.add(end);
    return end;
  }
}

/** One process's end of it. What is published arrives in a later turn, in order, as a copy. */
export class MemoryBus implements Bus {
  readonly #network: MemoryNetwork;
  readonly #ears = new Set<Ear>();
  readonly #watchers = new Set<(is: boolean) => void>();
  #isCut = false;
  /** What breaks with the bus. */
  readonly #asked = new Set<(error: Error) => void>();

  constructor(network: MemoryNetwork) {
    this.#network = network;
  }

  /** Subjects that somebody hears here. */
  get subjects(): string[] {
    return [...this.#ears].map(({ subject }) => subject);
  }

  cut(is: boolean): void {
    if (this.#isCut === is) return;
    this.#isCut = is;
    if (is) for (const reject of [...this.#asked]) reject(new Error("The bus is out of reach."));
    for (const watcher of [...this.#watchers]) watcher(!is);
  }

  publish(subject: string, message: Uint8Array): void {
    this.#send(subject, message, () => {});
  }

  subscribe(subject: string, heard: (message: BusMessage) => void): () => void {
    const ear = { subject, heard };
    this.#ears.add(ear);
    return () => void this.#ears.delete(ear);
  }

  request(subject: string, message: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { clock, ends } = this.#network;
    return new Promise((resolve, reject) => {
      const end = (error: Error): void => {
        this.#asked.delete(end);
        cancel();
        reject(error);
      };
      const cancel = clock.at(clock.now() + timeoutMs, () => end(new Error("No answer.")));
      this.#asked.add(end);
      if (this.#isCut || ![...ends].some((other) => other.#hears(subject)))
        end(new Error("Nobody hears it."));
      else
        this.#send(subject, message, (answer) => {
          this.#asked.delete(end);
          cancel();
          resolve(answer);
        });
    });
  }

  flushed(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isCut) {
        reject(new Error("The bus is out of reach."));
        return;
      }
      this.#asked.add(reject);
      this.#network.clock.soon(() => {
        this.#asked.delete(reject);
        resolve();
      });
    });
  }

  watch(reachable: (is: boolean) => void): () => void {
    this.#watchers.add(reachable);
    return () => void this.#watchers.delete(reachable);
  }

  #hears(subject: string): boolean {
    return !this.#isCut && [...this.#ears].some((ear) => ear.subject === subject);
  }

  #send(subject: string, message: Uint8Array, answered: (answer: Uint8Array) => void): void {
    const { clock, ends, loses } = this.#network;
    if (this.#isCut || loses(subject)) return;
    const bytes = message.slice();
    clock.soon(() => {
      for (const end of ends) {
        if (end.#isCut) continue;
        for (const ear of [...end.#ears]) {
          if (ear.subject !== subject) continue;
          ear.heard({
            bytes: bytes.slice(),
            answer: (answer) => {
              const copy = answer.slice();
              if (!end.#isCut) clock.soon(() => !this.#isCut && answered(copy));
            },
          });
        }
      }
    });
  }
}
