import { markdown } from '../table';
import type { Compared } from './measure';
import { MAX_RATIO, nameOf } from './plan';

/** Formats the ratios as a Markdown table. Each row also shows the maximum ratio. */
export function ratioTable(compared: readonly Compared[]): string {
  const head = ['CPU time of', 'old µs', 'new µs', 'new/old', '95 % interval', 'wanted', 'kept'];
  return markdown([head, ...compared.map(ratioCells)], 1);
}

/**
 * Formats the allocations of one guarded call as a Markdown table. Omits subjects without measured
 * allocations.
 */
export function allocationTable(compared: readonly Compared[]): string {
  const head = ['allocated by', 'old bytes', 'new bytes', 'old promises', 'new promises'];
  return markdown([head, ...compared.flatMap(allocationCells)], 1);
}

function ratioCells({ subject, ratio }: Compared): string[] {
  const { micros, median, low, high } = ratio;
  return [
    nameOf(subject),
    micros.old.toFixed(2),
    micros.new.toFixed(2),
    median.toFixed(3),
    `${low.toFixed(3)}–${high.toFixed(3)}`,
    `≤ ${MAX_RATIO}`,
    median <= MAX_RATIO ? 'yes' : 'no',
  ];
}

function allocationCells({ subject, allocations }: Compared): string[][] {
  if (!allocations) return [];
  const { old, new: current } = allocations;
  return [
    [
      nameOf(subject),
      old.bytes.toFixed(0),
      current.bytes.toFixed(0),
      String(old.promises),
      String(current.promises),
    ],
  ];
}
