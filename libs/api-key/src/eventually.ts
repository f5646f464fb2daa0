/**
 * A value that may be there already. A warm request has all its values, and a promise for each would cost it more than the
 * rest of its way.
 */
export type Eventually<T> = T | PromiseLike<T>;

/** Goes on with a value: at once where it is there, and otherwise when it comes. */
export function then<T, U>(value: Eventually<T>, next: (value: T) => Eventually<U>): Eventually<U> {
  return isPending(value) ? value.then(next) : next(value);
}

/** Does work, and hands its error on whether it fails at once or later. */
export function rescue<T>(work: () => Eventually<T>, recover: (error: unknown) => T): T | Promise<T> {
  try {
    const value = work();
    return isPending(value) ? Promise.resolve(value).catch(recover) : value;
  } catch (error) {
    return recover(error);
  }
}

function isPending<T>(value: Eventually<T>): value is PromiseLike<T> {
  return typeof (value as Partial<PromiseLike<T>> | null | undefined)?.then === 'function';
}
