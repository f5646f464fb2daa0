import type { Measurement } from './measure';
import type { Adapter, Subject } from './plan';
import { type Spread, spreadOf } from './statistics';
import type { Turn } from './turn';

/** Results of one subject. Each spread is computed from all turns of the subject. */
export interface Summary {
  readonly variant: Subject['variant'];
  /** Adapter of the subject, or `null` if the subject runs in process. */
  readonly adapter: Adapter | null;
  readonly cpuMicrosPerRequest: Spread;
  readonly requestsPerSecond: Spread;
  /**
   * 99th percentile of the latency, in milliseconds. `null` for calls in process, because these
   * calls are not timed individually.
   */
  readonly p99Ms: Spread | null;
  /** Median CPU time divided by the median CPU time of `bare` on the same adapter. */
  readonly ratioToBare: number | null;
  readonly turns: readonly Turn[];
}

/** Returns the summaries in the order of the measurements. */
export function summarize(measurements: readonly Measurement[]): Summary[] {
  return measurements.map(({ subject: { variant, adapter }, turns }) => {
    const bare = measurements.find((m) => m.subject.variant === 'bare' && m.subject.adapter === adapter);
    const latencies = turns.flatMap(({ p99Ms }) => p99Ms ?? []);
    return {
      variant,
      adapter,
      cpuMicrosPerRequest: cpuOf(turns),
      requestsPerSecond: spreadOf(turns.map((turn) => turn.requestsPerSecond)),
      p99Ms: latencies.length > 0 ? spreadOf(latencies) : null,
      ratioToBare: bare ? cpuOf(turns).median / cpuOf(bare.turns).median : null,
      turns,
    };
  });
}

function cpuOf(turns: readonly Turn[]): Spread {
  return spreadOf(turns.map((turn) => turn.cpuMicrosPerRequest));
}
