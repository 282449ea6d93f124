import { expect, test } from "bun:test";
import { advertisedUrl } from "../../relay/cluster/cluster-options.ts";

test("a port 0 that is advertised stands for the one that the relay listens on", () => {
  expect(advertisedUrl("http://127.0.0.1:0", 8787)).toBe("http://127.0.0.1:8787");
  expect(advertisedUrl("http://[::1]:0", 8787)).toBe("http://[::1]:8787");
  expect(advertisedUrl("https://a.example", 8787)).toBe("https://a.example");
  expect(advertisedUrl("http://10.0.0.1:80", 8787)).toBe("http://10.0.0.1");
});
