import type { Compared } from './measure';
import { allocationTable, ratioTable } from './table';

const compared = (median: number, way: 'guards' | 'HTTP'): Compared => ({
  subject: { way, kind: 'limit' },
  ratio: { median, low: 0.98, high: 1.04, micros: { old: 3, new: 3.1 } },
  allocations: way === 'HTTP' ? null : { old: { bytes: 10, promises: 0 }, new: { bytes: 20, promises: 1 } },
});

it('the table of ratios shows the bound beside each ratio, and whether the median keeps it', () => {
  const [, , kept, missed] = ratioTable([compared(1.02, 'guards'), compared(1.021, 'HTTP')]).split('\n');
  expect(kept).toMatch(/guards, limit .* 1\.020 \| +0\.980–1\.040 \| +≤ 1\.02 \| +yes \|/);
  expect(missed).toMatch(/HTTP, limit .* 1\.021 .* no \|/);
});

it('the table of allocations omits missing measurements', () => {
  const lines = allocationTable([compared(1, 'guards'), compared(1, 'HTTP')]).split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[2]).toMatch(/guards, limit \| +10 \| +20 \| +0 \| +1 \|/);
});
