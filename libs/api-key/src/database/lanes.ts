import { busy, WaitingLine } from './waiting-line';

/** Limits on waiting work. */
export interface LaneLimits {
  /** How many pieces of work may wait in one lane. */
  readonly waitingInLane: number;
  /** How many pieces of work may be in all lanes. */
  readonly inAllLanes: number;
}

/** Lets the work of one lane run one after the other. Work of other lanes does not wait for it. */
export class Lanes {
  /** The waiting work of each lane in which work runs. */
  private readonly lines = new Map<string, WaitingLine>();
  private inside = 0;

  constructor(private readonly limits: LaneLimits) {}

  /**
   * Waits until the earlier work of the lane is done.
   * @param lane null: does not wait
   * @param leftMs milliseconds until the deadline
   * @returns a function to call when the work is done
   * @throws Error with code `EBUSY` at once if too much work waits, or at the deadline
   */
  async enter(lane: string | null, leftMs: number): Promise<() => void> {
    const { waitingInLane, inAllLanes } = this.limits;
    if (this.inside >= inAllLanes) throw busy('too many wait');
    const line = lane === null ? undefined : this.lines.get(lane);
    if (line && line.length >= waitingInLane) throw busy('too many of one owner wait');
    if (lane !== null && !line) this.lines.set(lane, new WaitingLine());
    this.inside += 1;
    try {
      await line?.join(undefined, leftMs);
    } catch (error) {
      this.inside -= 1;
      throw error;
    }
    return () => this.leave(lane);
  }

  /** Refuses all work that waits. */
  refuse(error: Error): void {
    for (const line of this.lines.values()) line.refuse(error);
  }

  private leave(lane: string | null): void {
    this.inside -= 1;
    if (lane === null) return;
    const line = this.lines.get(lane);
    if (line && line.length > 0) line.call(() => 0);
    else this.lines.delete(lane);
  }
}
