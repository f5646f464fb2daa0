import { wordsOf } from './error-words';

it.each([
  ['its message', new Error('away'), 'away'],
  ['the first of its errors if it has no message', new AggregateError([new Error('a'), 0]), 'a'],
  ['its name if it has no message', new AggregateError([]), 'AggregateError'],
  ['the thrown value if it is not an error', 'text', 'text'],
  [
    'its message in one line',
    new Error('away\n[Nest] all is well\u009b2K'),
    'away\\u000a[Nest] all is well\\u009b2K',
  ],
  ['"undefined" if undefined was thrown', undefined, 'undefined'],
])('an error is described by %s', (_, error, words) => {
  expect(wordsOf(error)).toBe(words);
});
