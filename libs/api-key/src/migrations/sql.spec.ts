import { filledIn } from './sql';

it('names in SQL are replaced by their values, and other braces stay unchanged', () => {
  const sql = `SELECT '{}', '{a}', '{{a,b}}' FROM {{table}} WHERE {{column}} IN (SELECT {{column}} FROM {{table}})`;
  expect(filledIn(sql, { table: 'public."$&"', column: '{{table}}' })).toBe(
    `SELECT '{}', '{a}', '{{a,b}}' FROM public."$&" WHERE {{table}} IN (SELECT {{table}} FROM public."$&")`,
  );
});

it('SQL with a name that has no value is an error, not a statement', () => {
  expect(() => filledIn('SELECT {{column}} FROM {{table}}', { column: 'id' })).toThrow(
    'SQL has no value for table',
  );
});
