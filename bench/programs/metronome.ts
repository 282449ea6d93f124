/** A worker: posts the due time of each tick, when it has come. `setTimeout` of the main thread is 1 ms too coarse. */
globalThis.onmessage = ({ data }: MessageEvent<{ startMs: number; tickMs: number; ticks: number }>) => {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (let tick = 0; tick < data.ticks; tick++) {
    const dueMs = data.startMs + tick * data.tickMs;
    const waitMs = dueMs - (performance.timeOrigin + performance.now());
    if (waitMs > 0) Atomics.wait(cell, 0, 0, waitMs);
    postMessage(dueMs);
  }
};
