import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { answerTo } from './answer-refusal';

/** What `Vary` says once a refusal is answered. */
function varyAfter(vary: string | string[] | undefined): unknown {
  const headers = new Map<string, unknown>([['Vary', vary]]);
  const response = {
    getHeader: (name: string) => headers.get(name),
    setHeader: (name: string, value: string) => headers.set(name, value),
  };
  const request = { headers: {}, rawHeaders: [] };
  answerTo(new ApiKeyRefusal('MISSING_API_KEY'), new ExecutionContextHost([request, response]), 'api');
  return headers.get('Vary');
}

it.each([
  ['Accept', undefined],
  ['Origin, Accept', 'Origin'],
  ['Origin, Accept-Encoding, Accept', ['Origin', 'Accept-Encoding']],
  ['origin, accept', 'origin, accept'],
  ['*', '*'],
])('a refusal sets Vary to Accept: %s, if Vary was %j before', (after, before) => {
  expect(varyAfter(before)).toBe(after);
});

it('a refusal after the answer was sent is returned unchanged and sets no header', () => {
  const setHeader = jest.fn(() => {
    throw new Error('Cannot set headers after they are sent to the client');
  });
  const host = new ExecutionContextHost([
    { headers: {}, rawHeaders: [] },
    { headersSent: true, setHeader, getHeader: () => undefined },
  ]);
  const refusal = new ApiKeyRefusal('INVALID_API_KEY');
  expect(answerTo(refusal, host, 'api')).toBe(refusal);
  expect(setHeader).not.toHaveBeenCalled();
});
