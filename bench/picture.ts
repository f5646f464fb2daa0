import { ADAPTERS, type Adapter } from './plan';
import type { Summary } from './summary';

const WIDTH = 760;
const LABELS = 120;
const VALUES = 70;
const ROW = 22;
const BAR = 14;
const HEAD = 44;

const STYLE = `text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600 } .bar { fill: #9aa5b1 } .ours { fill: #2f7d5b }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .bar { fill: #687480 } .ours { fill: #57b78c } }`;

/**
 * Draws the CPU time of a request as a bar chart in SVG for the README. Each adapter has one block
 * of bars. All blocks have the same scale.
 */
export function picture(summaries: readonly Summary[]): string {
  const blocks = ADAPTERS.map((adapter) => ({
    adapter,
    bars: summaries.filter((summary) => summary.adapter === adapter),
  }));
  const most = Math.max(...blocks.flatMap(({ bars }) => bars.map(microsOf)));
  let top = 0;
  const drawn = blocks.map(({ adapter, bars }) => {
    const block = drawBlock(adapter, bars, most, top);
    top += HEAD + bars.length * ROW;
    return block;
  });
  const height = top + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    '<title>CPU microseconds of a request, by variant</title>',
    `<style>${STYLE}</style>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function drawBlock(adapter: Adapter, bars: readonly Summary[], most: number, top: number): string {
  const title = `<text class="title" x="0" y="${top + HEAD - 14}">CPU µs a request on ${adapter}, median</text>`;
  return [title, ...bars.map((bar, i) => drawBar(bar, most, top + HEAD + i * ROW))].join('\n');
}

function drawBar(summary: Summary, most: number, top: number): string {
  const micros = microsOf(summary);
  const length = ((WIDTH - LABELS - VALUES) * micros) / most;
  const kind = summary.variant.startsWith('ours') ? 'ours' : 'bar';
  return [
    `<text x="${LABELS - 8}" y="${top + BAR - 2}" text-anchor="end">${summary.variant}</text>`,
    `<rect class="${kind}" x="${LABELS}" y="${top}" width="${length.toFixed(1)}" height="${BAR}"/>`,
    `<text x="${(LABELS + length + 6).toFixed(1)}" y="${top + BAR - 2}">${micros.toFixed(0)}</text>`,
  ].join('');
}

function microsOf({ cpuMicrosPerRequest }: Summary): number {
  return cpuMicrosPerRequest.median;
}
