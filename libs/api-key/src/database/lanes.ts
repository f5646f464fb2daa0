import { LaneCounts } from './lane-counts';
import { busy, WaitingLine } from './waiting-line';

/** Limits on waiting work. */
export interface LaneLimits {
  /** Maximum number of pieces of work that may wait in one lane. */
  readonly waitingInLane: number;
  /** Maximum number of pieces of work in all lanes, running or waiting. */
  readonly inAllLanes: number;
}

/**
 * Runs the work of one lane one piece after the other. Work in different lanes does not wait for
 * each other.
 */
export class Lanes {
  /** Waiting work of each busy lane, by the name of the lane. */
  private readonly lines = new Map<string, WaitingLine>();
  private readonly inside = new LaneCounts();

  constructor(private readonly limits: LaneLimits) {}

  /**
   * Enters several lanes. In each lane, waits until the earlier work of this lane is done.
   * @param leftMs returns the milliseconds until the deadline
   * @returns a function to call when the work is done
   * @throws Error with code `EBUSY`: at once if too much work waits, or at the deadline
   */
  async enter(lanes: readonly string[], leftMs: () => number): Promise<() => void> {
    this.makeRoom(lanes);
    this.inside.add(lanes, 1);
    const entered: string[] = [];
    const leave = () => {
      this.inside.add(lanes, -1);
      for (const lane of entered) this.leave(lane);
    };
    try {
      for (const lane of lanes) {
        await this.enterOne(lane, leftMs);
        entered.push(lane);
      }
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Refuses all waiting work. */
  refuse(error: Error): void {
    for (const line of this.lines.values()) line.refuse(error);
  }

  /**
   * If all lanes are full, refuses the newest work of the owner and first lane with the most, so
   * that one owner cannot take the places of others.
   * @throws Error with code `EBUSY` if the new work itself is of these, or if none of them waits
   */
  private makeRoom(lanes: readonly string[]): void {
    if (this.inside.total < this.limits.inAllLanes) return;
    const { last, first, count } = this.inside.most();
    const isOfMost = lanes.at(-1) === last && this.inside.like(lanes) >= count;
    const error = busy('too many wait');
    if (isOfMost || !(this.refuseNewest(first, error) || this.refuseNewest(last, error))) throw error;
  }

  private refuseNewest(lane: string, error: Error): boolean {
    return this.lines.get(lane)?.refuseNewest(error) ?? false;
  }

  private async enterOne(lane: string, leftMs: () => number): Promise<void> {
    const line = this.lines.get(lane);
    if (!line) this.lines.set(lane, new WaitingLine());
    else if (line.length < this.limits.waitingInLane) await line.join(undefined, leftMs());
    else throw busy('too many of one owner wait');
  }

  private leave(lane: string): void {
    const line = this.lines.get(lane);
    if (line && line.length > 0) line.call(() => 0);
    else this.lines.delete(lane);
  }
}
