/** The two clocks of this machine: the monotonic one judges, the wall tells whether the machine slept meanwhile. */
export interface Clock {
  /** Milliseconds that only ever grow, whatever happens to the wall clock. */
  monotonic(): number;
  /** Milliseconds since 1970, as `Date.now`. */
  wall(): number;
}

export const SYSTEM_CLOCK: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
};

/** One moment on both clocks. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export function momentOf(clock: Clock): Moment {
  return { monotonic: clock.monotonic(), wall: clock.wall() };
}
