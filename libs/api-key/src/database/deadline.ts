/** Number of parts into which the wait for a deadline is split. */
const PARTS = 4;

/** Returns the largest part of a deadline that one step may take: a quarter. */
export function partOf(deadlineMs: number): number {
  return deadlineMs / PARTS;
}

/**
 * Waits for a promise until the deadline. Does not stop the work behind the promise. Time in which
 * this process was too busy to check the promise does not count. For this purpose, the deadline is
 * split into parts, and the promise is checked after each part.
 * @param late called if the deadline has passed; returns the error to reject with
 */
export function inTime<T>(deadlineMs: number, promise: PromiseLike<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    let isSettled = false;
    let timer: NodeJS.Timeout;
    const wait = (parts: number): void => {
      timer = setTimeout(() => setImmediate(() => isSettled || next(parts - 1)), partOf(deadlineMs));
    };
    const next = (parts: number): void => (parts > 0 ? wait(parts) : reject(late()));
    const settle =
      <A>(how: (outcome: A) => void) =>
      (outcome: A) => {
        isSettled = true;
        clearTimeout(timer);
        how(outcome);
      };
    wait(PARTS);
    promise.then(settle(resolve), settle(reject));
  });
}
