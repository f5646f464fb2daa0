import { busy, WaitingLine } from './waiting-line';

/** Limits on waiting work. */
export interface LaneLimits {
  /** How many pieces of work may wait in one lane. */
  readonly waitingInLane: number;
  /** How many pieces of work with the same last lane may be in their lanes. */
  readonly ofOneLast: number;
  /** How many pieces of work may be in all lanes. */
  readonly inAllLanes: number;
}

/** Lets the work of one lane run one after the other. Work of other lanes does not wait for it. */
export class Lanes {
  /** The waiting work of each lane in which work runs. */
  private readonly lines = new Map<string, WaitingLine>();
  /** How many pieces of work are inside, by their last lane. */
  private readonly byLast = new Map<string, number>();
  private inside = 0;

  constructor(private readonly limits: LaneLimits) {}

  /**
   * Waits in one lane after the other until the earlier work of the lane is done.
   * @param leftMs milliseconds until the deadline
   * @returns a function to call when the work is done
   * @throws Error with code `EBUSY` at once if too much work waits, or at the deadline
   */
  async enter(lanes: readonly string[], leftMs: () => number): Promise<() => void> {
    this.refuseIfFull(lanes.at(-1));
    this.count(lanes.at(-1), 1);
    const entered: string[] = [];
    const leave = () => {
      this.count(lanes.at(-1), -1);
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

  /** Refuses all work that waits. */
  refuse(error: Error): void {
    for (const line of this.lines.values()) line.refuse(error);
  }

  private refuseIfFull(last: string | undefined): void {
    if (this.inside >= this.limits.inAllLanes) throw busy('too many wait');
    const ofLast = last === undefined ? 0 : (this.byLast.get(last) ?? 0);
    if (ofLast >= this.limits.ofOneLast) throw busy('too many of one owner wait');
  }

  private count(last: string | undefined, by: number): void {
    this.inside += by;
    if (last === undefined) return;
    const ofLast = (this.byLast.get(last) ?? 0) + by;
    if (ofLast > 0) this.byLast.set(last, ofLast);
    else this.byLast.delete(last);
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
