/** The lanes of the most work: those of one owner, and of them the first lane with the most. */
export interface MostWork {
  readonly last: string;
  readonly first: string;
  /** How much work has both. */
  readonly count: number;
}

/** Stands for the lanes of work without a lane. */
const NONE = '';

/** Counts work by its last lane, which is that of its owner, and by its first lane. */
export class LaneCounts {
  private readonly groups = new Map<string, Map<string, number>>();
  private sum = 0;

  get total(): number {
    return this.sum;
  }

  add(lanes: readonly string[], by: number): void {
    const [first, last] = [lanes[0] ?? NONE, lanes.at(-1) ?? NONE];
    const group = this.groups.get(last) ?? new Map<string, number>();
    const count = (group.get(first) ?? 0) + by;
    if (count > 0) group.set(first, count);
    else group.delete(first);
    if (group.size > 0) this.groups.set(last, group);
    else this.groups.delete(last);
    this.sum += by;
  }

  /** How much work has the same first and last lane. */
  like(lanes: readonly string[]): number {
    return this.groups.get(lanes.at(-1) ?? NONE)?.get(lanes[0] ?? NONE) ?? 0;
  }

  /** The lanes of the owner with the most work. Takes time in proportion to the number of lanes. */
  most(): MostWork {
    let [last, most] = [NONE, 0];
    for (const [lane, group] of this.groups) {
      let count = 0;
      for (const each of group.values()) count += each;
      if (count > most) [last, most] = [lane, count];
    }
    let [first, count] = [NONE, 0];
    for (const [lane, each] of this.groups.get(last) ?? []) if (each > count) [first, count] = [lane, each];
    return { last, first, count };
  }
}
