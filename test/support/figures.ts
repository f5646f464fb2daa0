/**
 * Prints a measured value of a soak run with its bound, for a person to read. A value above the
 * bound does not fail the test.
 */
export function printFigure(what: string, value: number, unit: string, bound?: number): void {
  const beside = bound === undefined ? '' : ` (bound ${bound})`;
  process.stdout.write(`${what} ${value.toFixed(value < 100 ? 1 : 0)} ${unit}${beside}\n`);
}

/** Prints the distribution of times in milliseconds. The bound applies to the 99th percentile. */
export function printSpread(what: string, ms: readonly number[], bound?: number): void {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
  const beside = bound === undefined ? '' : ` (bound ${bound})`;
  process.stdout.write(
    `${what}: p50 ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms${beside}, most ${at(1).toFixed(1)} ms, of ${ms.length}\n`,
  );
}
