import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiKeyRefusal, type RefusalCode } from 'nestjs-api-key';
import ts from 'typescript';
import { readPage } from './support/snippets';

const LIBRARY = join(__dirname, '..', 'libs/api-key/src');

/** A row of a table in docs/errors.md: code, status, then sentences. */
const ROWS = [...readPage('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| (\d{3}) \| (.+) \|$/gm)].map(
  ([, code = '', status, cells = '']) => ({ code, status: Number(status), cells: cells.split(' | ') }),
);

/** Names of the properties of the object literals that a file gives a constant. */
function propertiesOf(file: string, constant: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && node.name.getText() === constant && node.initializer)
      names.push(...topProperties(node.initializer));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true));
  return names;
}

function topProperties(value: ts.Expression): string[] {
  if (ts.isSatisfiesExpression(value) || ts.isAsExpression(value)) return topProperties(value.expression);
  if (!ts.isObjectLiteralExpression(value)) return [];
  return value.properties.flatMap(({ name }) => (name ? [name.getText()] : []));
}

/** Codes in the source of the management API that no refusal of the guards has. */
function managementCodes(refusals: readonly string[]): string[] {
  const folder = join(LIBRARY, 'management');
  const sources = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  const codes = sources.flatMap((source) => [...source.matchAll(/'([A-Z]+(?:_[A-Z]+)*)'/g)]);
  return [...new Set(codes.map(([, code = '']) => code))].filter((code) => !refusals.includes(code));
}

describe('docs/errors.md', () => {
  const refusals = propertiesOf(join(LIBRARY, 'model/api-key.errors.ts'), 'REFUSALS');

  it('lists every code of the closed list of refusals, and of the management API, once', () => {
    expect(refusals.length).toBeGreaterThan(7);
    const codes = ROWS.map(({ code }) => code);
    expect(codes.sort()).toEqual([...refusals, ...managementCodes(refusals)].sort());
  });

  it('has the status of each refusal', () => {
    const rows = ROWS.filter(({ code }) => refusals.includes(code));
    const statuses = rows.map(({ code }) => [code, new ApiKeyRefusal(code as RefusalCode).getStatus()]);
    expect(rows.map(({ code, status }) => [code, status])).toEqual(statuses);
  });

  it('describes for each refusal its meaning, the action of the caller and the action of the operator', () => {
    const rows = ROWS.filter(({ code }) => refusals.includes(code));
    expect(rows.map(({ cells }) => cells.length)).toEqual(rows.map(() => 3));
    expect(rows.flatMap(({ cells }) => cells).filter((cell) => cell.trim() === '')).toEqual([]);
  });
});
