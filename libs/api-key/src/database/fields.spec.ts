import {
  date,
  dateOrNull,
  flag,
  json,
  jsonOrNull,
  number,
  numberOrNull,
  numbers,
  text,
  textOrNull,
  UnreadableValue,
} from './fields';

const row = (value: unknown) => ({ column: value }) as { column: string | null };

it.each([
  ['text', text, 'a', 'a'],
  ['textOrNull', textOrNull, null, null],
  ['flag', flag, 'true', true],
  ['flag', flag, 'false', false],
  ['number', number, '-1.5', -1.5],
  ['numberOrNull', numberOrNull, null, null],
  ['numberOrNull', numberOrNull, '7', 7],
  ['json', json, '{"a":[1]}', { a: [1] }],
  ['jsonOrNull', jsonOrNull, null, null],
  ['numbers', numbers, '[1, 2.5]', [1, 2.5]],
  ['date', date, '1763856060123', new Date(1_763_856_060_123)],
  ['date', date, '-1', new Date(-1)],
  ['date', date, 'infinity', new Date(8.64e15)],
  ['date', date, '-infinity', new Date(-8.64e15)],
  ['date', date, '9224318015999999', new Date(8.64e15)],
  ['dateOrNull', dateOrNull, null, null],
] as const)('%s reads %j', (_, read, value, expected) => {
  expect((read as (row: object, column: string) => unknown)(row(value), 'column')).toEqual(expected);
});

it.each([
  ['text', text, null],
  ['text', text, 7],
  ['textOrNull', textOrNull, undefined],
  ['flag', flag, 't'],
  ['flag', flag, true],
  ['flag', flag, null],
  ['number', number, 'NaN'],
  ['number', number, '1e3'],
  ['number', number, ''],
  ['number', number, 7n],
  ['numberOrNull', numberOrNull, undefined],
  ['json', json, '{'],
  ['json', json, null],
  ['numbers', numbers, '["1"]'],
  ['numbers', numbers, '{}'],
  ['date', date, '27.11.2026 01:00:00 UTC'],
  ['date', date, null],
  ['date', date, new Date()],
  ['dateOrNull', dateOrNull, undefined],
  ['dateOrNull', dateOrNull, ''],
] as const)('%s throws for %j and does not return null', (_, read, value) => {
  expect(() => (read as (row: object, column: string) => unknown)(row(value), 'column')).toThrow(
    UnreadableValue,
  );
});
