/** Tells the hash of what comes by stdin, which it stops and starts at each piece; for standard-end.test.ts. */
import { StandardEnd } from "../../agent/runtimes/standard-end.ts";

const end = new StandardEnd();
const hash = new Bun.CryptoHasher("sha256");
end.handler = {
  data(bytes) {
    hash.update(bytes);
    end.held(Number.MAX_SAFE_INTEGER);
    queueMicrotask(() => end.held(0));
  },
  drained() {},
  ended() {
    end.write(new TextEncoder().encode(hash.digest("hex")));
    end.end();
  },
  aborted: () => process.exit(1),
};
