import type { ApiKeyRequest } from './http-exchange';
import { PROBLEM, prefersProblem } from './problem-details';

const prefers = (...lines: string[]) =>
  prefersProblem({
    headers: { accept: lines.join(', ') },
    rawHeaders: lines.flatMap((line) => ['Accept', line]),
  } as unknown as ApiKeyRequest);

/** An `Accept` of a given length that prefers problem details. */
const acceptOf = (length: number) => {
  const others = Array.from({ length }, (_, i) => `a/${i};q=0.1`).join(',');
  return `${PROBLEM},${others}`.slice(0, length);
};

it.each([
  [true, PROBLEM],
  [true, 'Application/Problem+JSON, application/json;q=0.9'],
  [false, 'application/json'],
  [false, `application/json, ${PROBLEM};q=0.9`],
  [false, '*/*'],
])('whether a caller prefers problem details is %s for Accept: %s', (expected, accept) => {
  expect(prefers(accept)).toBe(expected);
});

it('an Accept of up to 1,024 characters is read, and a longer one is answered with plain JSON', () => {
  expect([prefers(acceptOf(1_024)), prefers(acceptOf(1_025)), prefers(acceptOf(15_000))]).toEqual([
    true,
    false,
    false,
  ]);
});

it('several lines of Accept count together', () => {
  const half = acceptOf(600);
  expect([prefers(half), prefers(half, half)]).toEqual([true, false]);
});
