import { describe, expect, test } from "bun:test";
import { Metrics } from "../../relay/metrics.ts";
import { factsOf } from "../cluster/memory-board.ts";

describe("metrics", () => {
  test("counts answers by class, and their times in buckets that add up", () => {
    const metrics = new Metrics();
    metrics.answered(200, 1);
    metrics.answered(204, 5);
    metrics.answered(404, 30);
    metrics.answered(502, 100_000);
    const text = metrics.text();
    expect(text).toContain('underpass_requests_total{class="2xx"} 2\n');
    expect(text).toContain('underpass_requests_total{class="4xx"} 1\n');
    expect(text).toContain('underpass_response_seconds_bucket{le="0.005"} 2\n');
    expect(text).toContain('underpass_response_seconds_bucket{le="0.1"} 3\n');
    expect(text).toContain('underpass_response_seconds_bucket{le="60"} 3\n');
    expect(text).toContain('underpass_response_seconds_bucket{le="+Inf"} 4\n');
    expect(text).toContain("underpass_response_seconds_count 4\n");
    expect(text).toContain("underpass_response_seconds_sum 100.036\n");
  });

  test("prints each line in Prometheus' text form, each family announced once", () => {
    const metrics = new Metrics();
    metrics.refused("origin-refused");
    metrics.refused("origin-refused");
    metrics.bytesIn += 10;
    metrics.links = 3;
    metrics.hopsOut = 7;
    const one = { ...factsOf("bbbbbbbb"), alive: true, link: "bus" as const, rttMs: 0.5 };
    const text = metrics.text({
      ...{ self: factsOf("aaaaaaaa"), registryReachable: false, names: 3, tunnels: 2, sessions: 4, hops: 7 },
      nodes: [one, { ...one, link: "none" }, { ...one, alive: false, link: "none" }],
    });
    expect(text).toContain("underpass_cluster_nodes 3\n");
    expect(text).toContain("underpass_cluster_neighbours 1\n");
    expect(text).toContain("underpass_cluster_registry_up 0\n");
    expect(text).toContain('underpass_hops_total{direction="out"} 7\n');
    expect(text).toContain('underpass_refusals_total{code="origin-refused"} 2\n');
    expect(text).toContain('underpass_bytes_total{direction="in"} 10\n');
    expect(text).toContain("underpass_links 3\n");
    const types: string[] = [];
    for (const line of text.trimEnd().split("\n")) {
      expect(line).toMatch(/^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+(?:\{[a-z]+="[^"]+"\})? [0-9.]+)$/);
      if (line.startsWith("# TYPE")) types.push(line);
    }
    expect(new Set(types).size).toBe(types.length);
  });

  test("a status that is none is not counted in a class", () => {
    const metrics = new Metrics();
    metrics.answered(0, 1);
    metrics.answered(999, 1);
    expect(metrics.text()).not.toContain("NaN");
    expect(metrics.text()).toContain('underpass_requests_total{class="5xx"} 0\n');
  });
});
