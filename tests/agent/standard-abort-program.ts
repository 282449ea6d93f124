/** Ends at once where stdin can't be read; for standard-end.test.ts. */
import { StandardEnd } from "../../agent/runtimes/standard-end.ts";

const end = new StandardEnd();
end.handler = {
  data() {},
  drained() {},
  ended() {
    end.abort("cancelled");
  },
  aborted: () => process.exit(1),
};
