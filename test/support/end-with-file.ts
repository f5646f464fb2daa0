const open: (() => Promise<unknown>)[] = [];

/**
 * Ends what a test file opened, the latest first, also where a test failed before it did so itself:
 * a server or a process that stays open keeps the worker of Jest from exiting.
 */
export function endWithFile(end: () => Promise<unknown>): void {
  open.push(end);
}

/** What is done once, however often it is asked for. */
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
