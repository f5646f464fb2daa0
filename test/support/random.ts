/**
 * Returns a generator of random numbers from 0 (inclusive) to 1 (exclusive), with the algorithm
 * mulberry32. The same seed gives the same numbers, so that a failure can be repeated.
 */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
