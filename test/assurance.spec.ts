import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** The rows of the first table: a failure, a test, its file. */
const ROWS = [...read('docs/assurance.md').matchAll(/^\| (.+) \| (.+) \| (\S+\.spec\.ts) \|$/gm)].map(
  ([, failure = '', test = '', file = '']) => ({ failure, test, file }),
);

/** A title in `code` before a file in brackets. */
const CITED = [...read('SECURITY.md').matchAll(/`([^`]+)` ?\n?\(([\w./-]+\.spec\.ts)\)/g)].map(
  ([, test = '', file = '']) => ({ test, file }),
);

it('SECURITY.md names a test of each claim', () => {
  expect(CITED.length).toBeGreaterThan(190);
});

it.each(CITED)('SECURITY.md: $file has $test', ({ test, file }) => {
  expect(read(file).replaceAll("\\'", "'")).toContain(test);
});

it('docs/assurance.md names tests', () => {
  expect(ROWS.length).toBeGreaterThan(20);
});

it.each(ROWS)('$failure: its test is there', ({ test, file }) => {
  expect(read(file)).toContain(test);
});
