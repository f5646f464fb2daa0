import type { Summary } from './summary';

const HEADINGS = [
  'variant',
  'adapter',
  'CPU µs/request',
  'min–max',
  'requests/s',
  'p99 ms',
  'ratio to bare',
] as const;
const TEXT_COLUMNS = 2;

/** The summaries as a Markdown table; all but the spread are medians over the rounds. */
export function table(summaries: readonly Summary[]): string {
  const rows = [HEADINGS, ...summaries.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const [head, ...body] = rows.map((row) => line(row.map((cell, column) => pad(cell, column, widths))));
  const rule = line(widths.map((width, column) => `${'-'.repeat(width - 1)}${isText(column) ? '-' : ':'}`));
  return [head, rule, ...body].join('\n');
}

function cellsOf(summary: Summary): string[] {
  const { variant, adapter, cpuMicrosPerRequest, requestsPerSecond, p99Ms, ratioToBare } = summary;
  const { median, min, max } = cpuMicrosPerRequest;
  return [
    variant,
    adapter,
    median.toFixed(1),
    `${min.toFixed(1)}–${max.toFixed(1)}`,
    requestsPerSecond.median.toFixed(0),
    p99Ms.median.toFixed(1),
    ratioToBare.toFixed(2),
  ];
}

function pad(cell: string, column: number, widths: readonly number[]): string {
  const width = widths[column] ?? 0;
  return isText(column) ? cell.padEnd(width) : cell.padStart(width);
}

function isText(column: number): boolean {
  return column < TEXT_COLUMNS;
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
