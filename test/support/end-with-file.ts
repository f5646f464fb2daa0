const open: (() => Promise<unknown>)[] = [];

/**
 * Calls `end` after all tests of a file, even if a test failed. The functions of a file run in
 * reverse order. An open server or process would keep the Jest worker from exiting.
 */
export function endWithFile(end: () => Promise<unknown>): void {
  open.push(end);
}

/**
 * Returns a function that calls `work` only once. Later calls return the promise of the first call.
 */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let done: Promise<T> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}

afterAll(async () => {
  for (const end of open.reverse()) await end().catch(() => {});
});
