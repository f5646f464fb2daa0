import type { Ratio } from './ratios';
import type { Summary } from './summary';

/**
 * Formats rows as a Markdown table. The first `textColumns` columns contain text and are aligned to
 * the left.
 */
export function markdown(rows: readonly (readonly string[])[], textColumns: number): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const pad = (cell: string, column: number) =>
    column < textColumns ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  const rule = widths.map((width, column) => `${'-'.repeat(width - 1)}${column < textColumns ? '-' : ':'}`);
  const [head, ...body] = rows.map((row) => line(row.map(pad)));
  return [head, line(rule), ...body].join('\n');
}

/**
 * Formats the results as a Markdown table. All columns except min–max show medians over the rounds.
 */
export function summaryTable(summaries: readonly Summary[]): string {
  const head = ['variant', 'adapter', 'CPU µs/request', 'min–max', 'requests/s', 'p99 ms', 'ratio to bare'];
  return markdown([head, ...summaries.map(summaryCells)], 2);
}

/** Formats the ratios as a Markdown table. Each row also shows the bound of the ratio. */
export function ratioTable(ratios: readonly Ratio[]): string {
  const head = ['CPU time of', 'over', 'adapter', 'median', '95 % interval', 'wanted', 'kept'];
  return markdown([head, ...ratios.map(ratioCells)], 3);
}

function summaryCells(summary: Summary): string[] {
  const { variant, adapter, cpuMicrosPerRequest, requestsPerSecond, p99Ms, ratioToBare } = summary;
  const { median, min, max } = cpuMicrosPerRequest;
  return [
    variant,
    adapter ?? 'in process',
    median.toFixed(1),
    `${min.toFixed(1)}–${max.toFixed(1)}`,
    requestsPerSecond.median.toFixed(0),
    p99Ms?.median.toFixed(1) ?? '',
    ratioToBare?.toFixed(2) ?? '',
  ];
}

function ratioCells({ of, over, adapter, median, low, high, wanted, kept }: Ratio): string[] {
  const bound = 'atMost' in wanted ? `≤ ${wanted.atMost}` : `≥ ${wanted.atLeast}`;
  const interval = `${low.toFixed(2)}–${high.toFixed(2)}`;
  return [of, over, adapter ?? 'in process', median.toFixed(2), interval, bound, kept ? 'yes' : 'no'];
}
