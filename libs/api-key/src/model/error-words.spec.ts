import { wordsOf } from './error-words';

it.each([
  ['its message', new Error('away'), 'away'],
  ['its name if it has no message', new AggregateError([]), 'AggregateError'],
  ['the thrown value if it is not an error', 'text', 'text'],
  ['"undefined" if undefined was thrown', undefined, 'undefined'],
])('an error is described by %s', (_, error, words) => {
  expect(wordsOf(error)).toBe(words);
});
