/** A deadline is waited for in so many parts. */
const PARTS = 4;

/** The part of a deadline that something on the way may take at most. */
export function partOf(deadlineMs: number): number {
  return deadlineMs / PARTS;
}

/**
 * Waits for a promise, so many milliseconds at most. What it stands for is not stopped. Time in
 * which this process was itself too busy to look does not count: the deadline passes in parts, and
 * after each one it looks.
 * @param late called if the deadline has passed; returns the error to fail with
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
