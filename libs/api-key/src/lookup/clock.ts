/**
 * The two clocks of this machine. The monotonic clock measures all deadlines. A comparison with the
 * wall clock shows whether the machine has slept.
 */
export interface Clock {
  /** Returns milliseconds that never decrease, even if somebody sets the wall clock. */
  monotonic(): number;
  /** Returns milliseconds since 1970, like `Date.now`. */
  wall(): number;
}

export const SYSTEM_CLOCK: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
};

/** One moment, in milliseconds on both clocks. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export function momentOf(clock: Clock): Moment {
  return { monotonic: clock.monotonic(), wall: clock.wall() };
}
