import { inTime } from './deadline';

/** Work that waits until it is called. */
interface Waiting<Item> {
  readonly item: Item;
  readonly call: () => void;
  readonly refuse: (error: Error) => void;
}

/**
 * A queue of work in the order of arrival. Each item waits until it is called, or until its
 * deadline.
 */
export class WaitingLine<Item = void> {
  private readonly waiting = new Set<Waiting<Item>>();

  get length(): number {
    return this.waiting.size;
  }

  /**
   * Waits until `call` chooses this item.
   * @param leftMs milliseconds until the deadline
   * @throws Error with code `EBUSY` if the deadline passes, or the error of `refuse`
   */
  join(item: Item, leftMs: number): Promise<void> {
    let leave = () => {};
    const called = new Promise<void>((resolve, reject) => {
      const one = { item, call: resolve, refuse: reject };
      this.waiting.add(one);
      leave = () => this.waiting.delete(one);
    });
    return inTime(Math.max(0, leftMs), called, () => {
      leave();
      return busy('its turn did not come in time');
    });
  }

  /**
   * Calls the item with the lowest rank. Among items of the same rank, calls the first that
   * arrived.
   * @param rankOf returns the rank of an item, or null if the item must continue to wait
   * @returns the item, or undefined if no item may run
   */
  call(rankOf: (item: Item) => number | null): Item | undefined {
    let [best, lowest]: [Waiting<Item> | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
    for (const one of this.waiting) {
      const rank = rankOf(one.item) ?? Number.POSITIVE_INFINITY;
      if (rank < lowest) [best, lowest] = [one, rank];
    }
    if (best === undefined) return undefined;
    this.waiting.delete(best);
    best.call();
    return best.item;
  }

  /** Refuses the item that came last. @returns false if none waits */
  refuseNewest(error: Error): boolean {
    const newest = [...this.waiting].at(-1);
    if (!newest) return false;
    this.waiting.delete(newest);
    newest.refuse(error);
    return true;
  }

  /** Refuses the items for which `fits` returns true. */
  refuse(error: Error, fits: (item: Item) => boolean = () => true): void {
    for (const one of this.waiting) {
      if (!fits(one.item)) continue;
      this.waiting.delete(one);
      one.refuse(error);
    }
  }
}

/** Returns the error of work that is refused because too much other work waits. */
export function busy(words: string): Error {
  return Object.assign(new Error(`the changes and reads of keys are busy: ${words}`), { code: 'EBUSY' });
}
