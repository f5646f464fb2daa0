/**
 * A value that may be there already. A warm request has all its values, and a promise for each would cost it more than the
 * rest of its way.
 */
export type Eventually<T> = T | PromiseLike<T>;

/**
 * Goes on with a value: at once where it is there, and otherwise when it comes.
 * @param about handed on, so that a warm request needs no function of its own
 */
export function then<T, U>(value: Eventually<T>, next: (value: T) => Eventually<U>): Eventually<U>;
export function then<T, U, About>(
  value: Eventually<T>,
  next: (value: T, about: About) => Eventually<U>,
  about: About,
): Eventually<U>;
export function then<T, U>(
  value: Eventually<T>,
  next: (value: T, about?: unknown) => Eventually<U>,
  about?: unknown,
): Eventually<U> {
  return isPending(value) ? value.then((come) => next(come, about)) : next(value, about);
}

/**
 * Does work, and hands its error on whether it fails at once or later.
 * @param about as of `then`
 */
export function rescue<T>(work: () => Eventually<T>, recover: (error: unknown) => T): T | Promise<T>;
export function rescue<T, About>(
  work: (about: About) => Eventually<T>,
  recover: (error: unknown, about: About) => T,
  about: About,
): T | Promise<T>;
export function rescue<T>(
  work: (about?: unknown) => Eventually<T>,
  recover: (error: unknown, about?: unknown) => T,
  about?: unknown,
): T | Promise<T> {
  try {
    const value = work(about);
    return isPending(value) ? Promise.resolve(value).catch((error) => recover(error, about)) : value;
  } catch (error) {
    return recover(error, about);
  }
}

/** Does something once a value has come, or will not. */
export function settled<T>(value: Eventually<T>, end: () => void): Eventually<T> {
  if (!isPending(value)) {
    end();
    return value;
  }
  return value.then(
    (found) => {
      end();
      return found;
    },
    (error: unknown) => {
      end();
      throw error;
    },
  );
}

/** Whether a value is still to come. */
export function isPending<T>(value: Eventually<T>): value is PromiseLike<T> {
  return typeof (value as Partial<PromiseLike<T>> | null | undefined)?.then === 'function';
}

/** A deadline is waited for in so many parts. */
const PARTS = 4;

/**
 * Hands a value on, or fails where it has not come after so many milliseconds. What brings it is not stopped. Time in which this
 * process was itself too busy to look does not count: the deadline passes in parts, and after each one it looks.
 * @param late called where the deadline has passed; the error to fail with
 */
export function inTime<T>(deadlineMs: number, value: Eventually<T>, late: () => Error): Eventually<T> {
  if (!isPending(value)) return value;
  return new Promise((resolve, reject) => {
    let settled = false;
    let timer: NodeJS.Timeout;
    const wait = (parts: number): void => {
      timer = setTimeout(() => setImmediate(() => settled || next(parts - 1)), deadlineMs / PARTS);
    };
    const next = (parts: number): void => (parts > 0 ? wait(parts) : reject(late()));
    const settle =
      <A>(how: (outcome: A) => void) =>
      (outcome: A) => {
        settled = true;
        clearTimeout(timer);
        how(outcome);
      };
    wait(PARTS);
    value.then(settle(resolve), settle(reject));
  });
}
