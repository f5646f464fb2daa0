const open: (() => Promise<unknown>)[] = [];

/**
 * Calls `end` after all tests of a file, in reverse order, even if a test failed. An open server or
 * process would keep the Jest worker from exiting.
 */
export function endWithFile(end: () => Promise<unknown>): void {
  open.push(end);
}

/** Returns a function that does the work once. Later calls return the same promise. */
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
