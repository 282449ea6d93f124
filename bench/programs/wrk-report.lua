-- Makes wrk end with one line that a program can read. Latencies are in microseconds.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\nreport {"requests":%d,"us":%d,"bytes":%d,"failed":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
