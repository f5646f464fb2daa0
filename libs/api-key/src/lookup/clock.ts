/**
 * The two clocks of this machine. The monotonic clock measures all deadlines. The wall clock shows
 * whether the machine slept meanwhile.
 */
export interface Clock {
  /** Milliseconds that never decrease, even if somebody sets the wall clock. */
  monotonic(): number;
  /** Milliseconds since 1970, like `Date.now`. */
  wall(): number;
}

export const SYSTEM_CLOCK: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
};

/** The same moment on both clocks. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export function momentOf(clock: Clock): Moment {
  return { monotonic: clock.monotonic(), wall: clock.wall() };
}
