/** Resolves or fails as `promise` does, or fails with `describe()` once `limitMs` are over: so that a wait tells what it waited for. */
export async function within<T>(promise: Promise<T>, limitMs: number, describe: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms for ${describe()}`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
