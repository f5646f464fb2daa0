import type { Measurement } from './measure';
import type { Subject } from './plan';
import { type Spread, spreadOf } from './statistics';
import type { Turn } from './turn';

/** What all turns of a subject say together; each spread is over its turns. */
export interface Summary extends Subject {
  readonly cpuMicrosPerRequest: Spread;
  readonly requestsPerSecond: Spread;
  readonly p99Ms: Spread;
  /** Median CPU time over that of `bare` on the same adapter. */
  readonly ratioToBare: number;
  readonly turns: readonly Turn[];
}

/** The summaries, in the order of the measurements. */
export function summarize(measurements: readonly Measurement[]): Summary[] {
  return measurements.map((measurement) => {
    const { variant, adapter, turns } = measurement;
    const cpuMicrosPerRequest = cpuMicrosOf(measurement);
    const bare = measurements.find((other) => other.variant === 'bare' && other.adapter === adapter);
    if (!bare) throw new Error(`bare was not measured on ${adapter}`);
    return {
      variant,
      adapter,
      cpuMicrosPerRequest,
      requestsPerSecond: spreadOf(turns.map((turn) => turn.requestsPerSecond)),
      p99Ms: spreadOf(turns.map((turn) => turn.p99Ms)),
      ratioToBare: cpuMicrosPerRequest.median / cpuMicrosOf(bare).median,
      turns,
    };
  });
}

function cpuMicrosOf({ turns }: Measurement): Spread {
  return spreadOf(turns.map((turn) => turn.cpuMicrosPerRequest));
}
