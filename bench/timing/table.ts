import { markdown } from '../table';
import type { Comparison } from './comparison';

/**
 * Formats comparisons as a Markdown table. Each row has the name of the way. Times are in
 * microseconds.
 */
export function comparisonTable(rows: readonly (readonly [string, Comparison])[]): string {
  const head = ['asked', 'kinds', 'measurements', 'medians µs', 'difference µs', '95 % interval', 't'];
  return markdown([[...head, 'largest cropped t', 'verdict'], ...rows.map(cells)], 2);
}

function cells([way, comparison]: readonly [string, Comparison]): string[] {
  const { kinds, measurements, medians, difference, t, cropped, verdict } = comparison;
  return [
    way,
    kinds.join(', '),
    measurements.toLocaleString('en'),
    medians.map((median) => median.toFixed(2)).join(', '),
    difference.median.toFixed(3),
    `${difference.low.toFixed(3)} to ${difference.high.toFixed(3)}`,
    t.toFixed(1),
    `${cropped.t.toFixed(1)} (${cropped.share * 100} %)`,
    verdict,
  ];
}
