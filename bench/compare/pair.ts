/** Something of both revisions. */
export interface Both<T> {
  readonly old: T;
  readonly new: T;
}

/** `limit`: the key has a rate limit of its own, counted in memory. */
export const KEY_KINDS = ['no limit', 'limit'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** Something of each kind of key. */
export type OfKinds<T> = Readonly<Record<KeyKind, T>>;

/** What one call or request took on each revision, in CPU microseconds. */
export type Pair = Both<number>;

/** How many pairs of each kind of key are taken in one launch. */
export interface PairPlan {
  /** Pairs at the start that are not kept. */
  readonly warmUpPairs: number;
  readonly pairs: number;
  /** Turns of each revision in one pair. */
  readonly turns: number;
}

/**
 * Lets both revisions work in short turns, one after the other, and returns the mean of each. Which
 * comes first is drawn each time, so that what the first turn does to the second hits both alike.
 * @param turns of each revision
 * @param random from 0 up to 1
 * @param cpuMicros works one turn; returns the CPU microseconds of one call or request
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

/** As many pairs of each kind of key as the plan wants, in turn, after the warm-up. */
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
