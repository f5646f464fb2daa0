import { wordsOf } from './error-words';

it.each([
  ['its message', new Error('away'), 'away'],
  ['its name where it has no message', new AggregateError([]), 'AggregateError'],
  ['what was thrown, where that is no error', 'text', 'text'],
  ['that there is none, where nothing was thrown', undefined, 'undefined'],
])('an error is told by %s', (_, error, words) => {
  expect(wordsOf(error)).toBe(words);
});
