/** A value for each revision. */
export interface Both<T> {
  readonly old: T;
  readonly new: T;
}

/**
 * Kinds of keys. A `limit` key has its own rate limit, which is counted in memory. A `no limit` key
 * has none.
 */
export const KEY_KINDS = ['no limit', 'limit'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** A value for each kind of key. */
export type OfKinds<T> = Readonly<Record<KeyKind, T>>;

/** CPU time of one call or request on each revision, in microseconds. */
export type Pair = Both<number>;

/** Numbers of pairs that one launch takes for each kind of key. */
export interface PairPlan {
  /** Number of discarded pairs before the measured pairs. */
  readonly warmUpPairs: number;
  readonly pairs: number;
  /** Number of turns of each revision in one pair. */
  readonly turns: number;
}

/**
 * Runs both revisions in short turns and returns the mean of each revision. Each revision has one
 * turn in each round, in random order. Therefore the first turn of a round affects both revisions
 * equally often.
 * @param turns number of turns of each revision
 * @param random returns a number from 0 (inclusive) to 1 (exclusive)
 * @param cpuMicros runs one turn and returns the CPU microseconds of one call or request
 */
export async function takePair(
  turns: number,
  random: () => number,
  cpuMicros: (side: keyof Pair) => Promise<number>,
): Promise<Pair> {
  const sum = { old: 0, new: 0 };
  for (let turn = 0; turn < turns; turn++) {
    const [first, second] = random() < 0.5 ? (['old', 'new'] as const) : (['new', 'old'] as const);
    sum[first] += await cpuMicros(first);
    sum[second] += await cpuMicros(second);
  }
  return { old: sum.old / turns, new: sum.new / turns };
}

/**
 * Takes the planned number of pairs for each kind of key. Discards the pairs of the warm-up. The
 * kinds of keys alternate.
 */
export async function takePairs(
  { turns, pairs: wanted, warmUpPairs }: PairPlan,
  random: () => number,
  cpuMicros: (side: keyof Pair, kind: KeyKind) => Promise<number>,
): Promise<OfKinds<Pair[]>> {
  const taken: OfKinds<Pair[]> = { 'no limit': [], limit: [] };
  for (let i = 0; i < warmUpPairs + wanted; i++)
    for (const kind of KEY_KINDS) {
      const pair = await takePair(turns, random, (side) => cpuMicros(side, kind));
      if (i >= warmUpPairs) taken[kind].push(pair);
    }
  return taken;
}
