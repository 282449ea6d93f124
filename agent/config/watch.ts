import type { Clock } from "../../shared/clock.ts";

/** Files as the watch needs them. */
export interface WatchedFiles {
  /** At most one character more than a file may have. Rejects when it can't be read. */
  readonly read: (path: string) => Promise<string>;
  /** The folders in which something may change what is read at `path`: its own, and that of the file it links to. */
  readonly folders: (path: string) => Promise<readonly string[]>;
  /** Calls `changed` for whatever happens in `folder`, until the function that it returns is called. Throws when it can't. */
  readonly watch: (folder: string, changed: () => void) => () => void;
}

export interface ConfigWatchOptions {
  readonly path: string;
  readonly files: WatchedFiles;
  readonly clock: Clock;
  /** The file has this text now; `asked`: `look` was called, and the text may be the same as before. */
  readonly onText: (text: string, options: { readonly asked: boolean }) => void;
  readonly onUnreadable: (error: unknown) => void;
  /** Changes go unseen from now on. */
  readonly onBlind: (error: unknown) => void;
}

export const watchLimits = {
  /** An editor writes, renames and removes within this time. */
  quietMs: 200,
  /** In a folder that is never quiet it is looked at this often. */
  latestMs: 2_000,
} as const;

/**
 * Tells when a file's text has changed. It is its folder that is watched, as editors put another file in its place, and
 * whoever mounts it swaps a link beside it; after each change the folders are watched anew, for they may be others.
 */
export class ConfigWatch {
  readonly #options: ConfigWatchOptions;
  #text: string | undefined;
  #unwatch: () => void = () => {};
  #cancel: () => void = () => {};
  /** When it is looked at however busy the folder is; undefined: nothing happened. */
  #latestMs: number | undefined;
  #looking: Promise<void> = Promise.resolve();
  #blind = false;
  #closed = false;

  /** `text`: what was read last. */
  constructor(text: string, options: ConfigWatchOptions) {
    this.#text = text;
    this.#options = options;
  }

  /** Begins. Resolves when no change goes unseen from now on. */
  async start(): Promise<void> {
    await this.#watch();
    // What changed before that, since the caller read it.
    await this.#look({ asked: false });
  }

  /** Reads now, and tells the text even if it is the same. */
  look(): void {
    void this.#look({ asked: true });
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#unwatch();
  }

  #changed(): void {
    const { clock } = this.#options;
    const now = clock.now();
    this.#latestMs ??= now + watchLimits.latestMs;
    this.#cancel();
    this.#cancel = clock.at(Math.min(now + watchLimits.quietMs, this.#latestMs), () => {
      this.#latestMs = undefined;
      void this.#look({ asked: false });
    });
  }

  /** One look after the other. */
  #look(how: { readonly asked: boolean }): Promise<void> {
    this.#looking = this.#looking.then(() => this.#readAgain(how));
    return this.#looking;
  }

  async #readAgain({ asked }: { readonly asked: boolean }): Promise<void> {
    const { files, path, onText, onUnreadable } = this.#options;
    await this.#watch();
    let text: string;
    try {
      text = await files.read(path);
    } catch (error) {
      if (this.#closed) return;
      // Told once for as long as it lasts.
      if (asked || this.#text !== undefined) onUnreadable(error);
      this.#text = undefined;
      return;
    }
    if (this.#closed || (text === this.#text && !asked)) return;
    this.#text = text;
    onText(text, { asked });
  }

  async #watch(): Promise<void> {
    const { files, path, onBlind } = this.#options;
    const unwatch: (() => void)[] = [];
    try {
      for (const folder of await files.folders(path)) {
        if (this.#closed) break;
        unwatch.push(files.watch(folder, () => this.#changed()));
      }
      this.#blind = false;
    } catch (error) {
      // Told once for as long as it lasts.
      if (!this.#closed && !this.#blind) onBlind(error);
      this.#blind = true;
    }
    this.#unwatch();
    this.#unwatch = () => {
      for (const stop of unwatch) stop();
    };
    if (this.#closed) this.#unwatch();
  }
}
